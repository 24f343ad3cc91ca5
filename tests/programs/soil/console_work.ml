(* Uses the console of a program with devices. Arguments: echo (lines until "end"), abort, or pour
   COUNT: writes COUNT lines, then those that arrive at port 7, one per connection, until "end". *)
module D = Soil.File_descriptor

let echo () =
  print_endline "ready";
  let rec next () =
    match read_line () with
    | "end" -> exit 5
    | line ->
        Printf.printf "got [%s]\n%!" line;
        next ()
  in
  next ()

let pour count =
  for i = 1 to count do
    Printf.printf "line %06d of a console\n%!" i
  done;
  let listener = Soil.Tcp.listen ~port:7 () in
  let rec serve () =
    let connection = Soil.Tcp.accept listener in
    let line = Soil.Reader.line (Soil.Reader.create connection) in
    print_endline line;
    D.write_string connection "written\n";
    D.close connection;
    if line <> "end" then serve ()
  in
  serve ()

let () =
  Soil.run @@ fun () ->
  match Sys.argv.(1) with
  | "echo" -> echo ()
  | "abort" ->
      print_string "before";
      flush stdout;
      Unix.kill (Unix.getpid ()) Sys.sigabrt
  | "pour" -> pour (int_of_string Sys.argv.(2))
  | mode -> failwith mode
