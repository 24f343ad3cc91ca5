(* Blocks larger than any memory: the exception, and work afterwards. *)
let attempt name f =
  match f () with
  | () -> Printf.printf "%s: allocated\n" name
  | exception Out_of_memory -> Printf.printf "%s: out of memory\n" name

let () =
  attempt "bytes" (fun () -> ignore (Sys.opaque_identity (Bytes.create (1 lsl 45))));
  attempt "array" (fun () -> ignore (Sys.opaque_identity (Array.make (1 lsl 42) 0)));
  attempt "bigarray" (fun () ->
      ignore (Sys.opaque_identity (Bigarray.Array1.create Char C_layout (1 lsl 45))));
  attempt "small" (fun () -> ignore (Sys.opaque_identity (Bytes.create 100_000)))
