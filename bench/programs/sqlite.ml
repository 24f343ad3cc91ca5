(* Transactions of one row, each durable: sqlite.exe DIRECTORY COUNT. The host times what lies
   between the lines. *)

let () =
  let database = Sqlite3.db_open (Filename.concat Sys.argv.(1) "rows.db") in
  let count = int_of_string Sys.argv.(2) in
  let exec sql = Sqlite3.Rc.check (Sqlite3.exec database sql) in
  exec "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL";
  exec "CREATE TABLE rows (number INTEGER PRIMARY KEY, contents TEXT)";
  let insert = Sqlite3.prepare database "INSERT INTO rows (contents) VALUES (?)" in
  let commit i =
    Sqlite3.Rc.check (Sqlite3.bind_text insert 1 (Printf.sprintf "%0100d" i));
    if Sqlite3.step insert <> DONE then failwith (Sqlite3.errmsg database);
    Sqlite3.Rc.check (Sqlite3.reset insert)
  in
  commit 0;
  print_endline "begin";
  for i = 1 to count do
    commit i
  done;
  print_endline "end"
