(* No module refers to this one, so that native programs are linked without it. Bytecode has it,
   because ocamlc links all of the library by -linkall (see dune). *)

let () =
  Backend.in_bytecode := Some ((module Printexc), (module Format));
  Printexc.register_printer Failure.printer
