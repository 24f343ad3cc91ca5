(* A client of PostgreSQL, by PG'OCaml: ADDRESS PORT. *)

let connect () =
  PGOCaml.connect ~host:Sys.argv.(1)
    ~port:(int_of_string Sys.argv.(2))
    ~user:"soil" ~database:"postgres" ()

let one connection query =
  match PGOCaml.inject connection query with
  | [ [ Some value ] ] -> value
  | rows -> Printf.sprintf "%d rows" (List.length rows)

(* The code of an error (SQLSTATE). *)
let code fields = List.assoc 'C' fields

let () =
  PGOCaml.verbose := 0;
  let connection = connect () in
  ignore (PGOCaml.inject connection "create table numbers (n integer primary key, square text)");
  PGOCaml.prepare connection ~name:"add" ~query:"insert into numbers values ($1, $2)" ();
  for n = 1 to 200 do
    let params = [ Some (string_of_int n); Some (string_of_int (n * n)) ] in
    ignore (PGOCaml.execute connection ~name:"add" ~params ())
  done;
  Printf.printf "rows: %s, sum of the squares: %s\n%!"
    (one connection "select count(*) from numbers")
    (one connection "select sum(square::integer) from numbers");
  (match PGOCaml.execute connection ~name:"add" ~params:[ Some "200"; Some "again" ] () with
  | _ -> print_endline "no error"
  | exception PGOCaml.PostgreSQL_Error (_, fields) ->
      Printf.printf "error %s, and then %s\n%!" (code fields)
        (one connection "select square from numbers where n = 200"));
  Printf.printf "a megabyte: %d\n%!" (String.length (one connection "select repeat('x', 1000000)"));
  (match one connection "select pg_terminate_backend(pg_backend_pid())" with
  | value -> print_endline ("not dropped: " ^ value)
  | exception End_of_file -> print_endline "dropped");
  Printf.printf "alive: %b\n%!" (PGOCaml.alive connection);
  let connection = connect () in
  Printf.printf "connected again, rows: %s\n%!" (one connection "select count(*) from numbers");
  PGOCaml.close connection
