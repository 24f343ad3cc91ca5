(* A service that writes to the disk `data`, answers on TCP port 7 what became of that, and mounts
   the volume again after an error; for tests/cases/disk_full.py. *)
module Fs = Soil.Fs
module T = Soil.Task

let point = "/work"
let piece = String.make 262144 'x'
let state = ref "nothing yet"
let written = ref 0

let change to_ =
  if !state <> to_ then (
    state := to_;
    Printf.printf "state: %s\n%!" to_)

(* Each file replaces an earlier one once the volume has eight of them. *)
let write () =
  Fs.write_file (Printf.sprintf "%s/%d" point (!written mod 64)) piece;
  Fs.sync_volume point;
  incr written

let remount () =
  (try Fs.unmount point with Soil.Error _ -> ());
  try Fs.mount "data" point with Soil.Error _ -> ()

let rec work () =
  (match write () with
  | () -> change "works"
  | exception Soil.Error { code; _ } ->
      change ("fails: " ^ Soil.Error.message code);
      remount ();
      Soil.Clock.sleep 0.1);
  Soil.Clock.sleep 0.005;
  work ()

let answer connection =
  Soil.File_descriptor.write_string connection (Printf.sprintf "%d %s\n" !written !state);
  Soil.File_descriptor.shutdown connection `Send

let () =
  Soil.run @@ fun () ->
  let listener = Soil.Tcp.listen ~port:7 () in
  Soil.Net.wait_up ();
  Fs.mount "data" point;
  T.both work (fun () -> Soil.Tcp.serve listener answer) |> ignore
