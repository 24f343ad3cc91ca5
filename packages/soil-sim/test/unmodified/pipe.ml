(* A program that waits for itself. *)

let () =
  let reader, _writer = Unix.pipe () in
  ignore (Unix.read reader (Bytes.create 1) 0 1)
