(* Changes the volumes /data and /other without pause, and answers letters on the console; for
   tests/cases/guest_agent.py. With an argument it uses the network instead, and changes nothing
   more. *)
module Fs = Soil.Fs
module T = Soil.Task

let say format = Printf.printf (format ^^ "\n%!")
let changes = ref 0
let kept = String.make 100_000 'k'

let work (root, n) =
  let folder = Printf.sprintf "%s/%d" root n in
  Fs.mkdir_p folder;
  let random = Random.State.make [| n |] in
  let rec go i =
    let file = Printf.sprintf "%s/%d" folder (i mod 16) in
    let made = folder ^ "/new" in
    Fs.write_file made (String.make (1 + Random.State.int random 50_000) 'x');
    Fs.rename made file;
    Fs.append_file file "the end";
    if i mod 3 = 0 then Fs.unlink file;
    if i mod 10 = 0 then Fs.sync_volume root;
    incr changes;
    go (i + 1)
  in
  go 0

let answer = function
  | 'c' -> say "changes %d." !changes
  | 'r' -> say "read %b." (Fs.read_file "/data/kept" = kept)
  | 't' -> say "time %d." (Soil.Clock.now_ns () / 1_000_000_000)
  | _ -> ()

let () =
  at_exit (fun () -> say "at_exit runs");
  Soil.run @@ fun () ->
  let is_idle = Array.length Sys.argv > 1 in
  if is_idle then Soil.Net.wait_up ();
  List.iter (fun root -> Fs.write_file (root ^ "/kept") kept) [ "/data"; "/other" ];
  Fs.sync_all ();
  T.scope @@ fun scope ->
  let start worker = ignore (T.spawn scope (fun () -> work worker)) in
  if not is_idle then List.iter start [ ("/data", 0); ("/data", 1); ("/other", 2) ];
  say "working";
  let console = Soil.File_descriptor.of_console () and letter = Bytes.create 1 in
  while Soil.File_descriptor.read console letter 0 1 > 0 do
    answer (Bytes.get letter 0)
  done;
  Soil.Clock.sleep infinity
