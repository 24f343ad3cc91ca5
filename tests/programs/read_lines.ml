(* Echoes lines from standard input until one says "end". *)
let () =
  print_endline "ready";
  let rec loop n =
    match read_line () with
    | "end" -> Printf.printf "%d lines\n" n
    | line ->
        Printf.printf "got [%s]\n%!" line;
        loop (n + 1)
    | exception End_of_file -> Printf.printf "%d lines, then the end of input\n" n
  in
  loop 0
