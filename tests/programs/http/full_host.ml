(* A service that writes to the disk `data` and answers with what became of that at /health; for
   tests/cases/disk_full.py. It never mounts the volume again. *)
module Fs = Soil.Fs
module Server = Soil_http.Server

let point = "/work"
let piece = String.make 262144 'x'
let state = ref "nothing yet"
let written = ref 0

let change to_ =
  if !state <> to_ then (
    state := to_;
    Printf.printf "state: %s\n%!" to_)

(* Each file replaces an earlier one once the volume has so many of them. *)
let write () =
  Fs.write_file (Printf.sprintf "%s/%d" point (!written mod 64)) piece;
  Fs.sync_volume point;
  incr written

let rec work () =
  (match write () with
  | () -> change "works"
  | exception Soil.Error { code; _ } ->
      change ("fails: " ^ Soil.Error.message code);
      Soil.Clock.sleep 0.1);
  Soil.Clock.sleep 0.005;
  work ()

let answer request =
  match Server.path request with
  | "/health" ->
      let status = if !state = "works" then `OK else `Service_unavailable in
      Server.string ~status (Printf.sprintf "%d %s\n" !written !state)
  | _ -> Server.string ~status:`Not_found ""

let () =
  Soil.run @@ fun () ->
  let listener = Soil.Tcp.listen ~port:80 () in
  Soil.Net.wait_up ();
  Fs.mount "data" point;
  Soil.Task.first [ work; (fun () -> Server.serve listener answer) ]
