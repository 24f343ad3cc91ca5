(* sqlite3: transactions of two threads, each reported once it is committed, until the machine is
   killed. The next run checks what it finds and goes on. Arguments: the database's path, `delete`,
   `truncate`, `persist` or `wal`, and how many transactions each thread does at most. *)
open Sqlite3

let fail db = function
  | Rc.OK | Rc.DONE -> ()
  | error -> failwith (Rc.to_string error ^ ": " ^ errmsg db)

let run db text = fail db (exec db text)

let rows db text =
  let found = ref [] in
  let keep row =
    found :=
      String.concat " " (Array.to_list (Array.map (Option.value ~default:"NULL") row)) :: !found
  in
  fail db (exec_no_headers db text ~cb:keep);
  List.rev !found

(* EXTRA: a journal that was removed to commit is to be gone after a power cut, too. *)
let connect path journal =
  let db = db_open ~mutex:`FULL path in
  busy_timeout db 60_000;
  run db
    ("PRAGMA journal_mode=" ^ journal ^ "; PRAGMA synchronous=EXTRA; PRAGMA wal_autocheckpoint=20");
  db

let output = Mutex.create ()
let say text = Mutex.protect output (fun () -> print_endline text)

let transaction db name number =
  run db "BEGIN IMMEDIATE";
  for part = 1 to 3 do
    run db
      (Printf.sprintf "INSERT INTO work VALUES ('%s', %d, %d, '%s')" name number part
         (String.make (number * 97 mod 3000) 'x'))
  done;
  run db (Printf.sprintf "UPDATE total SET sum = sum + %d" number);
  if number > 40 then
    run db (Printf.sprintf "DELETE FROM work WHERE name = '%s' AND number = %d" name (number - 40));
  run db "COMMIT"

let () =
  let path, journal, most = (Sys.argv.(1), Sys.argv.(2), int_of_string Sys.argv.(3)) in
  let db = connect path journal in
  run db
    "BEGIN; CREATE TABLE IF NOT EXISTS work (name TEXT, number INTEGER, part INTEGER, filling TEXT);\n\
     CREATE INDEX IF NOT EXISTS numbers ON work (name, number);\n\
     CREATE TABLE IF NOT EXISTS total (sum INTEGER);\n\
     INSERT INTO total SELECT 0 WHERE NOT EXISTS (SELECT * FROM total); COMMIT";
  List.iter (fun row -> say ("integrity " ^ row)) (rows db "PRAGMA integrity_check");
  let last name =
    int_of_string
      (List.hd
         (rows db
            (Printf.sprintf "SELECT coalesce(max(number), 0) FROM work WHERE name = '%s'" name)))
  in
  let names = [ ("one", last "one"); ("two", last "two") ] in
  List.iter (fun (name, last) -> say (Printf.sprintf "found %s %d" name last)) names;
  say
    ("rows "
    ^ String.concat " " (rows db "SELECT count(*) FROM work" @ rows db "SELECT sum FROM total"));
  say "ready";
  let work (name, last) =
    let db = connect path journal in
    for number = last + 1 to last + most do
      transaction db name number;
      say (Printf.sprintf "committed %s %d" name number)
    done;
    ignore (db_close db)
  in
  List.iter Thread.join (List.map (Thread.create work) names);
  ignore (db_close db);
  print_endline "the end"
