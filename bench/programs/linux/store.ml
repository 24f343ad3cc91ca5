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

external set_in_threads : string -> int -> int -> string -> unit = "bench_set_in_threads"

let set_together = set_in_threads directory
let embed name contents = with_file ("/" ^ name) [ O_WRONLY; O_CREAT ] (fun fd -> write fd contents)

let mapped path =
  with_file path [ O_RDONLY ] (fun fd ->
      Bigarray.array1_of_genarray (Unix.map_file fd Char C_layout false [| -1 |]))

let contents name = mapped ("/" ^ name)
let read name f = f (mapped ("/mnt/" ^ name))

external mount_ext4 : string -> string -> unit = "bench_mount"

let mount () =
  mount_ext4 "/dev/vda" "/mnt";
  ignore (Sys.readdir "/mnt")

let rename name other = Unix.rename ("/mnt/" ^ name) ("/mnt/" ^ other)
let unlink name = Unix.unlink ("/mnt/" ^ name)
let make_directory name = Unix.mkdir ("/mnt/" ^ name) 0o755

let entries directory =
  let handle = Unix.opendir ("/mnt/" ^ directory) in
  let rec go count =
    match Unix.readdir handle with
    | "." | ".." -> go count
    | _ -> go (count + 1)
    | exception End_of_file -> count
  in
  let count = go 0 in
  Unix.closedir handle;
  count

external append_in_threads : Io.file array -> int -> Io.buffer -> unit = "bench_append_in_threads"

let append_together files count data = append_in_threads (Array.of_list files) count data
