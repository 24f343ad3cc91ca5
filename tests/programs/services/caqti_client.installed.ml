(* A client of PostgreSQL, by Caqti and libpq: ADDRESS PORT. *)

open Caqti.Templater

let create = static T.(unit -->. unit) "create table numbers (n integer primary key, square text)"
let add = static T.(t2 int string -->. unit) "insert into numbers values (?, ?)"
let count = static T.(unit -->! int) "select count(*) from numbers"
let sum = static T.(unit -->! int) "select sum(square::integer) from numbers"
let drop = static T.(unit -->! bool) "select pg_terminate_backend(pg_backend_pid())"
let or_fail = Caqti_blocking.or_fail

let () =
  let uri =
    Uri.of_string (Printf.sprintf "postgresql://soil@%s:%s/postgres" Sys.argv.(1) Sys.argv.(2))
  in
  let connect () = or_fail (Caqti_blocking.connect uri) in
  let (module Db) = connect () in
  or_fail (Db.exec create ());
  for n = 1 to 200 do
    or_fail (Db.exec add (n, string_of_int (n * n)))
  done;
  Printf.printf "rows: %d, sum of the squares: %d\n%!"
    (or_fail (Db.find count ()))
    (or_fail (Db.find sum ()));
  (match Db.exec add (200, "again") with
  | Ok () -> print_endline "no error"
  | Error _ -> Printf.printf "an error, and then rows: %d\n%!" (or_fail (Db.find count ())));
  (match Db.find drop () with
  | Ok _ -> print_endline "not dropped"
  | Error _ -> print_endline "dropped");
  let (module Db) = connect () in
  Printf.printf "connected again, rows: %d\n%!" (or_fail (Db.find count ()))
