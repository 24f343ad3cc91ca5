type 'a t = { encode : 'a -> string; decode : string -> ('a, string) result }

let bytes = { encode = Fun.id; decode = Result.ok }
let empty = { encode = (fun () -> ""); decode = Wire.decode () (fun () _ _ -> ()) }
