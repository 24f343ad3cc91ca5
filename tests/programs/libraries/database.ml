(* sqlite3: tables, transactions, functions in OCaml, and two connections in two threads. *)
open Sqlite3

let fail db = function
  | Rc.OK | Rc.DONE -> ()
  | error -> failwith (Rc.to_string error ^ ": " ^ errmsg db)

let run db text = fail db (exec db text)

let rows db text =
  let found = ref [] in
  fail db
    (exec_no_headers db text ~cb:(fun row ->
         found := Array.map (Option.value ~default:"NULL") row :: !found));
  List.rev_map (fun row -> String.concat "|" (Array.to_list row)) !found

let show db text = List.iter print_endline (rows db text)

let insert db number text =
  let statement = prepare db "INSERT INTO notes VALUES (?, ?)" in
  fail db (bind_int statement 1 number);
  fail db (bind_text statement 2 text);
  fail db (step statement);
  fail db (finalize statement)

let in_memory () =
  let db = db_open ":memory:" in
  run db "CREATE TABLE notes (number INTEGER PRIMARY KEY, text TEXT)";
  List.iteri (fun i text -> insert db (i + 1) text) [ "soil"; "grüße"; "it's \"quoted\""; "" ];
  show db "SELECT number, upper(text), length(text) FROM notes ORDER BY number DESC";
  create_fun1 db "twice" (function Data.TEXT text -> Data.TEXT (text ^ text) | other -> other);
  show db "SELECT twice(text), sum(number) FROM notes WHERE number < 3 GROUP BY text";
  (match exec db "INSERT INTO notes VALUES (1, 'again')" with
  | Rc.CONSTRAINT -> print_endline "constraint"
  | other -> print_endline (Rc.to_string other));
  run db "BEGIN; DELETE FROM notes; ROLLBACK";
  show db "SELECT count(*) FROM notes";
  show db
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT sum(i), \
     avg(i) FROM n";
  show db
    "SELECT json_extract('{\"a\": [1, 2, {\"b\": 3}]}', '$.a[2].b'), strftime('%Y-%m-%d', 86400, \
     'unixepoch'), round(sqrt(2), 3)";
  ignore (db_close db)

let count = 40

let writer path ~name ~journal () =
  let db = db_open ~mutex:`FULL path in
  busy_timeout db 60_000;
  run db ("PRAGMA journal_mode=" ^ journal);
  for number = 1 to count do
    run db
      (Printf.sprintf
         "BEGIN IMMEDIATE; INSERT INTO work VALUES ('%s', %d); UPDATE total SET sum = sum + %d; \
          COMMIT"
         name number number)
  done;
  ignore (db_close db)

let on_disk directory journal =
  let path = Filename.concat directory ("work-" ^ journal ^ ".db") in
  let db = db_open path in
  run db
    ("PRAGMA journal_mode=" ^ journal
   ^ "; CREATE TABLE work (name TEXT, number INTEGER); CREATE TABLE total (sum INTEGER); INSERT \
      INTO total VALUES (0)");
  ignore (db_close db);
  let threads =
    List.map (fun name -> Thread.create (writer path ~name ~journal) ()) [ "one"; "two" ]
  in
  List.iter Thread.join threads;
  let db = db_open path in
  Printf.printf "%s: %s\n" journal
    (String.concat ", "
       (rows db
          "SELECT name || ' ' || count(*) || ' ' || sum(number) FROM work GROUP BY name ORDER BY \
           name"
       @ rows db "SELECT 'total ' || sum FROM total"
       @ rows db "PRAGMA integrity_check" @ rows db "PRAGMA journal_mode"));
  ignore (db_close db);
  Sys.remove path

let () =
  let directory =
    if Array.length Sys.argv > 1 then Sys.argv.(1) else Filename.get_temp_dir_name ()
  in
  in_memory ();
  List.iter (on_disk directory) (List.tl (List.tl (Array.to_list Sys.argv)))
