(* Work on the disk `data` for the tests of faults; the first argument says what. Errors are
   printed as the program's users see them. *)
module Fs = Soil.Fs

let say format = Printf.printf (format ^^ "\n%!")

(* The contents of the n-th file: what a checker outside can make as well. *)
let contents n = String.init (n * 977 mod 9000) (fun i -> Char.chr (((n * 31) + i) land 255))
let numbered n = Printf.sprintf "/data/%05d.bin" n

(* Writes and syncs file after file until the machine is killed. A line "synced N" means that file
   N, the log up to line N and the current file are safe. *)
let rec synced n =
  Fs.write_file (numbered n) (contents n);
  Fs.append_file "/data/log" (Printf.sprintf "line %d\n" n);
  Fs.sync_all ();
  Fs.write_file "/data/new" (contents n);
  Fs.sync_all ();
  Fs.rename "/data/new" "/data/current";
  if n > 8 then Fs.unlink (numbered (n - 8));
  Fs.sync_all ();
  say "synced %d" n;
  synced (n + 1)

(* Fills the disk; what was there before still reads, and there is room again when a file goes. *)
let fill () =
  let block = String.make 65536 'f' in
  Fs.write_file "/data/kept" "kept";
  Fs.sync_all ();
  let rec go n =
    match Fs.append_file "/data/filler" block with
    | () -> go (n + 1)
    | exception (Soil.Error e as error) ->
        say "after %s: %s" (if n > 0 then "some blocks" else "nothing") (Soil.Error.message e.code);
        error
  in
  let error = go 0 in
  (match Fs.mkdir "/data/no-room" with
  | () -> say "a directory on a full disk"
  | exception Soil.Error e -> say "mkdir: %s" (Soil.Error.message e.code));
  say "kept: %S" (Fs.read_file "/data/kept");
  Fs.sync_all ();
  Fs.unlink "/data/filler";
  Fs.write_file "/data/again" "room again";
  say "again: %S" (Fs.read_file "/data/again");
  raise error

(* Writes and syncs files on a disk that fails now and then: each error is a value, what was synced
   reads, and another task goes on meanwhile. *)
let faults count =
  let ticks = ref 0 in
  let rec tick () =
    incr ticks;
    Soil.Clock.sleep 0.02;
    tick ()
  in
  Soil.Task.scope @@ fun scope ->
  let ticking = Soil.Task.spawn scope tick in
  let one n =
    match
      Fs.write_file (numbered n) (contents n);
      Fs.sync_all ()
    with
    | () -> true
    | exception Soil.Error e ->
        say "failed: %s" (Soil.Error.to_string e);
        false
  in
  let synced = List.filter one (List.init count succ) in
  let reads n =
    match Fs.read_file (numbered n) with
    | text -> text = contents n
    | exception Soil.Error e ->
        say "failed: %s" (Soil.Error.to_string e);
        false
  in
  say "synced %d, as written %d, ticks %d" (List.length synced)
    (List.length (List.filter reads synced))
    !ticks;
  Soil.Task.cancel ticking

(* Whether the volume takes writes and keeps them, before and after a few syncs. *)
let health () =
  let say_health () =
    match (Fs.volume "/data").health with
    | Writable -> say "writable"
    | Unflushed -> say "unflushed"
    | Read_only -> say "read-only"
    | Corrupt what -> say "corrupt: %s" what
  in
  say_health ();
  for n = 1 to 3 do
    Fs.write_file (numbered n) (contents n);
    Fs.sync_all ()
  done;
  say_health ()

let () =
  Soil.run @@ fun () ->
  match Sys.argv with
  | [| _; "faults"; count |] -> faults (int_of_string count)
  | [| _; "synced"; first |] -> synced (int_of_string first)
  | [| _; "fill" |] -> fill ()
  | [| _; "health" |] -> health ()
  | [| _; "read"; path |] -> say "%d bytes" (String.length (Fs.read_file path))
  | [| _; "write"; path; text |] -> Fs.write_file path text
  | _ -> prerr_endline "unknown work"
