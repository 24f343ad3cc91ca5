(* A volume on the disk `data` that stops answering, and one on `other` that doesn't; for
   tests/cases/disk_stalls.py. *)
module Fs = Soil.Fs
module T = Soil.Task

let say format = Printf.printf (format ^^ "\n%!")
let size = 262144
let name n = Printf.sprintf "/data/file%d" n

(* The contents of the n-th file. *)
let contents n = String.init size (fun i -> Char.chr (((n * 31) + (i * 7)) land 255))
let workers = 8

(* How many of the workers have ended a call. *)
let started = ref 0

let call_ended () =
  incr started;
  if !started = workers then say "under way"

(* Works until a call fails, and returns the error and the time that this call waited. *)
let until_failure what one =
  let before = ref 0 in
  let rec go good =
    before := Soil.Clock.monotonic_ns ();
    match one () with
    | () ->
        if good = 0 then call_ended ();
        go (good + 1)
    | exception Soil.Error e ->
        let waited = (Soil.Clock.monotonic_ns () - !before) / 1_000_000 in
        say "failed: %s after %d good, waited %d ms: %s" what good waited (Soil.Error.to_string e);
        (* The test, which waits for all, looks for failures then. *)
        if good = 0 then call_ended ();
        (* Memory is made and collected; the device's must not be among it. *)
        Gc.full_major ()
  in
  go 0

(* Reads of a file that is too large for the caches, straight to a bigarray; its bytes are all
   'l'. *)
let read random =
  Fs.with_file "/data/large" @@ fun d ->
  let b = Bigarray.Array1.create Bigarray.char Bigarray.c_layout size in
  let position = Random.State.int random (Fs.size d - size) in
  let got = Fs.pread_into d ~position b 0 size in
  let wrong = ref (got <> size) in
  for i = 0 to got - 1 do
    if Bigarray.Array1.get b i <> 'l' then wrong := true
  done;
  if !wrong then say "wrong contents"

let tick ticks =
  let rec go () =
    Soil.Clock.sleep 0.02;
    incr ticks;
    go ()
  in
  go ()

let use_other others =
  let rec go () =
    (match
       Fs.write_file "/other/file" (string_of_int !others);
       Fs.sync_volume "/other"
     with
    | () -> incr others
    (* On a slow host its deadline can pass, too. *)
    | exception Soil.Error _ -> ());
    Soil.Clock.sleep 0.02;
    go ()
  in
  go ()

let others_and_ticks f =
  T.scope @@ fun scope ->
  let ticks = ref 0 and others = ref 0 in
  let ticking = T.spawn scope (fun () -> tick ticks) in
  let using = T.spawn scope (fun () -> use_other others) in
  f ();
  let ticks_then = !ticks and others_then = !others in
  let ticked () = ticks_then > 5 && !ticks > ticks_then + 5 in
  let used () = !others > others_then in
  (* They go on while the disk still doesn't answer; how fast is a matter of the host. *)
  Patience.await (fun () -> ticked () && used ());
  say "ticks %b, others %b" (ticked ()) (used ());
  T.cancel ticking;
  T.cancel using

(* A call that is refused, and how long it took. *)
let refused what one =
  let before = Soil.Clock.monotonic_ns () in
  match one () with
  | () -> say "%s: not refused" what
  | exception Soil.Error e ->
      let waited = (Soil.Clock.monotonic_ns () - before) / 1_000_000 in
      say "refused %s after %d ms: %s" what waited (Soil.Error.message e.code)

let rec again what n one =
  match one () with
  | () -> say "%s: works again" what
  | exception Soil.Error e ->
      if n = 0 then say "%s: still: %s" what (Soil.Error.to_string e)
      else (
        Soil.Clock.sleep 0.1;
        again what (n - 1) one)

let check () =
  for n = 0 to workers - 1 do
    if Fs.read_file (name n) <> contents n then say "file %d is damaged" n
  done;
  if Fs.read_file "/data/synced" <> "synced" then say "what was synced is lost"

let work () =
  for n = 0 to workers - 1 do
    Fs.write_file (name n) (contents n)
  done;
  Fs.write_file "/data/synced" "synced";
  Fs.sync_all ();
  say "working";
  ( others_and_ticks @@ fun () ->
    let worker n =
      let random = Random.State.make [| n |] in
      match n mod 4 with
      | 0 -> until_failure "read" (fun () -> read random)
      | 1 -> until_failure "write" (fun () -> Fs.write_file (name n) (contents n))
      | 2 ->
          until_failure "fsync" (fun () ->
              Fs.with_file ~mode:Write (name n) @@ fun d ->
              Fs.pwrite d ~position:0 (Bytes.of_string (contents n)) 0 size;
              Fs.sync d)
      | _ ->
          until_failure "sync" (fun () ->
              Fs.write_file (name n) (contents n);
              Fs.sync_volume "/data")
    in
    T.iter worker (List.init workers Fun.id) );
  refused "stat" (fun () -> ignore (Fs.stat "/data/synced"));
  refused "open" (fun () -> Fs.with_file (name 0) (fun _ -> ()));
  say "stalled";
  again "read" 1800 (fun () -> read (Random.State.make [||]));
  (* A write that failed halfway may be cut short; later writes are whole. *)
  for n = 0 to workers - 1 do
    Fs.write_file (name n) (contents n)
  done;
  again "sync" 1800 Fs.sync_all;
  check ()

(* The disk stops before anything is mounted. *)
let mount () =
  Fs.write_file "/other/file" "warm";
  say "working";
  (* Until the disk has been stopped. *)
  ignore (read_line ());
  (others_and_ticks @@ fun () -> until_failure "mount" (fun () -> Fs.mount "data" "/late"));
  refused "mount" (fun () -> Fs.mount "data" "/late");
  say "stalled";
  again "mount" 1800 (fun () -> Fs.mount "data" "/late");
  Fs.write_file "/late/new" "new";
  Fs.unmount "/late";
  say "unmounted"

(* The program's end comes while the disk doesn't answer. *)
let ends () =
  Fs.write_file "/data/synced" "synced";
  Fs.sync_all ();
  say "working";
  until_failure "sync" (fun () ->
      Fs.write_file (name 0) (contents 0);
      Fs.sync_volume "/data";
      Soil.Clock.sleep 0.01);
  say "ending"

(* One task writes and syncs on a disk whose flushes take as long as the test wants; another uses
   the same volume, and says so. *)
let flushes count =
  Fs.write_file "/data/synced" "synced";
  say "working";
  ignore (read_line ());
  let random = Random.State.make [||] in
  let rec use () =
    read random;
    say "used: read";
    ignore (Fs.stat "/data/synced");
    say "used: stat";
    ignore (Fs.read_file "/data/synced");
    say "used: read_file";
    ignore (Fs.list "/data");
    say "used: list";
    Soil.Clock.sleep 0.01;
    use ()
  in
  T.scope @@ fun scope ->
  let using = T.spawn scope use in
  for n = 1 to count do
    Fs.with_file ~mode:Append "/data/log" @@ fun d ->
    Soil.File_descriptor.write_string d (contents n);
    Fs.sync d
  done;
  T.cancel using;
  say "synced %d" count

let () =
  Soil.run @@ fun () ->
  match Sys.argv with
  | [| _; "work" |] -> work ()
  | [| _; "mount" |] -> mount ()
  | [| _; "ends" |] -> ends ()
  | [| _; "flushes"; count |] -> flushes (int_of_string count)
  | _ -> prerr_endline "unknown work"
