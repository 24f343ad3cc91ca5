(* Crashes in the way that the argument names, in C that a task calls. *)

external crash : string -> unit = "test_crash"

let[@inline never] provoke kind =
  crash kind;
  print_endline "survived"

let rec deep n = 1 + deep (n + 1)

let () =
  (* Before Soil: a handler of the program's own. *)
  if Array.length Sys.argv > 2 then crash "handle";
  Soil.run @@ fun () ->
  print_endline "before";
  match Sys.argv.(1) with
  | "deep" -> ( try Printf.printf "%d\n" (deep 0) with Stack_overflow -> print_endline "caught")
  | kind -> provoke kind
