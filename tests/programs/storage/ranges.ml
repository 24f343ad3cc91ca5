(* Room, holes, times and the forms of a rename on each kind of volume. *)
module D = Soil.File_descriptor
module File = Soil.File
module Fs = Soil.Fs

let say format = Printf.printf (format ^^ "\n%!")

let error f =
  match f () with
  | _ -> "done"
  | exception Soil.Error e -> Soil.Error.message e.code
  | exception Invalid_argument what -> what

let place = function None -> "none" | Some place -> string_of_int (place / 1024)
let zeros s = String.for_all (fun c -> c = '\000') s
let kib = 1024

(* Multiples of 64 KiB: no volume gives a file more at a time. *)
let ranges root =
  let path = root ^ "/ranges" in
  Fs.with_file ~mode:Create path @@ fun d ->
  Fs.pwrite d ~position:(128 * kib) (Bytes.make (192 * kib) 'x') 0 (192 * kib);
  Fs.truncate d (1024 * kib);
  say "%s: data at %s, hole at %s, then %s, %s, %s" root
    (place (File.next_data d 0))
    (place (File.next_hole d (130 * kib)))
    (place (File.next_data d (400 * kib)))
    (place (File.next_hole d (400 * kib)))
    (place (File.next_hole d (1024 * kib)));
  let free () = (Fs.space root).free / kib in
  let before = free () in
  say "%s: punch: %s" root (error (fun () -> File.punch_hole d ~position:(192 * kib) (64 * kib)));
  say "%s: %d KiB back, hole at %s, data at %s" root
    ((free () - before) / 64 * 64)
    (place (File.next_hole d (128 * kib)))
    (place (File.next_data d (192 * kib)));
  let before = free () in
  say "%s: allocate: %s" root (error (fun () -> File.allocate d ~position:(512 * kib) (1024 * kib)));
  say "%s: %d KiB taken, size %d" root ((before - free ()) / 64 * 64) (Fs.size d / kib);
  let before = free () in
  say "%s: keep the size: %s" root
    (error (fun () -> File.allocate ~keep_size:true d ~position:(2048 * kib) (512 * kib)));
  say "%s: %d KiB taken, size %d" root ((before - free ()) / 64 * 64) (Fs.size d / kib);
  say "%s: zero: %s" root (error (fun () -> File.zero_range d ~position:(100 * kib) (60 * kib)));
  let text = Fs.read_file path in
  say "%s: %b %b %b %b" root
    (zeros (String.sub text 0 (160 * kib)))
    (text.[160 * kib] = 'x')
    (zeros (String.sub text (192 * kib) (64 * kib)))
    (zeros (String.sub text (320 * kib) (String.length text - (320 * kib))));
  say "%s: too much: %s" root (error (fun () -> File.allocate d ~position:0 (1 lsl 40)));
  say "%s: no bytes: %s" root (error (fun () -> File.allocate d ~position:0 0));
  Fs.with_file path (fun d ->
      say "%s: reading only: %s" root (error (fun () -> File.allocate d ~position:0 4096)))

let times root =
  let path = root ^ "/ranges" in
  let accessed = { File.seconds = 1_600_000_000; nanoseconds = 123_456_789 } in
  let modified = { File.seconds = 1_500_000_000; nanoseconds = 999_999_999 } in
  File.set_times ~accessed path;
  File.set_times ~modified path;
  let show { File.seconds; nanoseconds } = Printf.sprintf "%d.%09d" seconds nanoseconds in
  let found = File.times path in
  say "%s: read %s, written %s, float %.3f" root (show found.accessed) (show found.modified)
    (Fs.stat path).modified;
  say "%s: changed lately: %b" root
    (Float.abs (File.to_float found.changed -. Soil.Clock.now ()) < 86_400.);
  say "%s: %s, %s" root
    (error (fun () -> File.set_times ~modified (root ^ "/none")))
    (error (fun () -> File.set_times ~modified:{ seconds = 0; nanoseconds = -1 } path))

let renames root =
  let a = root ^ "/a" and b = root ^ "/b" in
  Fs.write_file a "a";
  Fs.mkdir b;
  Fs.write_file (b ^ "/file") "b";
  say "%s: no replace: %s" root (error (fun () -> Fs.rename ~how:`No_replace a b));
  say "%s: exchange: %s" root (error (fun () -> Fs.rename ~how:`Exchange a b));
  say "%s: a is a file: %b" root ((Fs.stat a).kind = File);
  say "%s: with nothing: %s" root (error (fun () -> Fs.rename ~how:`Exchange a (root ^ "/none")));
  say "%s: into itself: %s" root (error (fun () -> Fs.rename ~how:`Exchange a (a ^ "/file")));
  Fs.rename ~how:`No_replace a (root ^ "/c");
  let space = Fs.space root in
  say "%s: some is reserved: %b" root (space.available < space.free)

(* A file whose size no memory has room for. *)
let huge root =
  let name = "huge" in
  let path = root ^ "/" ^ name in
  Fs.with_file ~mode:Create path (fun d -> Fs.truncate d (1 lsl 40));
  say "%s: huge: %s" root (error (fun () -> Fs.read_file ~max:max_int path));
  let value f =
    match Result.bind (Soil.Kv.connect root) (fun kv -> f kv (Soil.Kv.Key.v name)) with
    | Ok _ -> "done"
    | Error e -> Soil.Kv.error_to_string e
  in
  say "%s: huge value: %s" root (value Soil.Kv.get);
  say "%s: part: %s" root (value (Soil.Kv.get_partial ~offset:0 ~length:max_int));
  say "%s: few: %s" root (value (Soil.Kv.get_partial ~offset:(1 lsl 39) ~length:1));
  Fs.unlink path

let () =
  Soil.run @@ fun () ->
  if Array.length Sys.argv > 1 then huge "/ext4";
  Fs.mount "memory:8M" "/tmp";
  List.iter
    (fun root ->
      ranges root;
      times root;
      renames root)
    [ "/ext4"; "/tmp"; "/fat" ];
  say "another volume: %s" (error (fun () -> Fs.rename ~how:`Exchange "/ext4/c" "/tmp/c"))
