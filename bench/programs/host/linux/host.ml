type connection = Unix.file_descr
type listener = Unix.file_descr

external listen : int -> listener = "bench_vsock_listen"
external accept : listener -> connection = "bench_vsock_accept"
external freeze : string -> bool -> unit = "bench_freeze"

let serve listener f =
  while true do
    let fd = accept listener in
    (try f fd with Unix.Unix_error _ -> ());
    Unix.close fd
  done

let read fd data = Unix.read_bigarray fd data 0 (Bigarray.Array1.dim data)
let write fd data = ignore (Unix.write_bigarray fd data 0 (Bigarray.Array1.dim data))

(* QEMU's agent for Linux reduced to what is measured: less work than it has for a request. *)
let agent () =
  let port =
    List.find Sys.file_exists [ "/dev/vport0p1"; "/dev/vport1p1"; "/dev/vport2p1"; "/dev/vport3p1" ]
  in
  let fd = Unix.openfile port [ O_RDWR ] 0 in
  let input = Unix.in_channel_of_descr fd in
  let rec answer () =
    let line = input_line input in
    let frozen = String.ends_with ~suffix:{|freeze"}|} line in
    freeze "/mnt" frozen;
    ignore (Unix.write_substring fd "{\"return\": 1}\n" 0 14);
    answer ()
  in
  try answer () with End_of_file -> ()

let with_agent f =
  let agent = Thread.create agent () in
  f ();
  Thread.join agent
