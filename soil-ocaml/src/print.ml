(* A program that has a formatter has [Format], so that the reference may be weak; [Format] is
   200 KB. *)
module type FORMAT = module type of struct
  include Format
end

external block_of_format : unit -> Obj.t = "soil_format" [@@noalloc]

let string formatter s =
  let (module Format) = (Obj.obj (block_of_format ()) : (module FORMAT)) in
  Format.pp_print_string formatter s

external hash_param : int -> int -> int -> 'a -> int = "caml_hash" [@@noalloc]

(* As [Hashtbl.hash]. *)
let hash v = hash_param 10 100 0 v
