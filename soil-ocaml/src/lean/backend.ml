(* 0 for native code, 1 for bytecode: a constant, so that native code has the one branch only. *)
external is_bytecode : unit -> bool = "%backend_type"

(* The types alone link nothing. *)
module type PRINTEXC = module type of Printexc

module type FORMAT = module type of struct
  include Format
end

(* In a native program these modules are there if something else refers to them, which weak symbols
   tell: together they are 500 KB. Bytecode has no symbols, and [Bytecode] sets these. *)
let in_bytecode : ((module PRINTEXC) * (module FORMAT)) option ref = ref None

external block_of_printexc : unit -> Obj.t = "soil_printexc" [@@noalloc]
external block_of_format : unit -> Obj.t = "soil_format" [@@noalloc]

(* [Printexc], with the printers that were registered with it, if the program has it. *)
let printexc () =
  if is_bytecode () then match !in_bytecode with Some (m, _) -> Some m | None -> None
  else
    let block = block_of_printexc () in
    if Obj.is_int block then None else Some (Obj.obj block : (module PRINTEXC))

(* [Format], for programs that have a formatter and so have it. *)
let format () =
  if is_bytecode () then match !in_bytecode with Some (_, m) -> m | None -> assert false
  else (Obj.obj (block_of_format ()) : (module FORMAT))
