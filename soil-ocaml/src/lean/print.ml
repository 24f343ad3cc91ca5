let string formatter s =
  let (module Format) = Backend.format () in
  Format.pp_print_string formatter s

external hash_param : int -> int -> int -> 'a -> int = "caml_hash" [@@noalloc]

(* As [Hashtbl.hash]. *)
let hash v = hash_param 10 100 0 v
