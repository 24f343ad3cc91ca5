(* C++ stubs: constructors, exceptions, threads, thread-local objects, clocks, streams, locales. *)

external vectors : int -> int = "cxx_vectors"
external exceptions : int -> unit = "cxx_exceptions"
external threads : unit -> unit = "cxx_threads"
external clocks : unit -> unit = "cxx_clocks"
external streams : string -> unit = "cxx_streams"
external locales : unit -> unit = "cxx_locales"
external files : unit -> unit = "cxx_files"

exception Thrown of string

let () = Callback.register_exception "thrown" (Thrown "")

let () =
  Printf.printf "vectors: %d\n%!" (vectors 10);
  (try exceptions 3 with Thrown text -> Printf.printf "OCaml caught: %s\n%!" text);
  (match exceptions 2 with
  | () -> Printf.printf "nothing was thrown\n%!"
  | exception Thrown text -> Printf.printf "OCaml caught too much: %s\n%!" text);
  threads ();
  clocks ();
  streams "4 0x1f 2.5 word";
  locales ();
  files ();
  print_endline "end of OCaml"
