let directory = "/mnt/store"
let connect () = Unix.mkdir directory 0o755

let with_file path flags f =
  let fd = Unix.openfile path flags 0o644 in
  Fun.protect ~finally:(fun () -> Unix.close fd) (fun () -> f fd)

let write fd text = ignore (Unix.write_substring fd text 0 (String.length text))

(* A new file, synced and renamed, and the directory synced: what databases do. *)
let set key value =
  let path = directory ^ "/" ^ key in
  with_file (path ^ ".new") [ O_WRONLY; O_CREAT; O_TRUNC ] (fun fd ->
      write fd value;
      Unix.fsync fd);
  Unix.rename (path ^ ".new") path;
  with_file directory [ O_RDONLY ] Unix.fsync

let embed name contents = with_file ("/" ^ name) [ O_WRONLY; O_CREAT ] (fun fd -> write fd contents)

let mapped path =
  with_file path [ O_RDONLY ] (fun fd ->
      Bigarray.array1_of_genarray (Unix.map_file fd Char C_layout false [| -1 |]))

let contents name = mapped ("/" ^ name)
let look name f = f (mapped ("/mnt/" ^ name))
