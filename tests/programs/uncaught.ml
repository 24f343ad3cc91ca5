(* An uncaught exception, with a trace of three functions. *)
exception Too_bad of string * int

let[@inline never] deepest n = if n > 0 then raise (Too_bad ("milk", n))

let[@inline never] middle n =
  deepest n;
  print_endline "not reached"

let[@inline never] outer n =
  middle n;
  print_endline "not reached"

let () =
  Printexc.record_backtrace true;
  print_endline "before";
  outer (Array.length Sys.argv)
