(* Files and directories of the disk `data`: what can be done with them and the errors. *)
module D = Soil.File_descriptor
module Fs = Soil.Fs

let say format = Printf.printf (format ^^ "\n%!")

let error name f =
  match f () with
  | _ -> say "%s: no error" name
  | exception Soil.Error e -> say "%s: %s" name (Soil.Error.message e.code)

let entries path =
  String.concat " "
    (List.map (fun (name, kind) -> if kind = Fs.Directory then name ^ "/" else name) (Fs.list path))

let contents () =
  Fs.write_file "/data/hello.txt" "hello, disk\n";
  Fs.append_file "/data/hello.txt" "and more\n";
  say "read back: %S" (Fs.read_file "/data/hello.txt");
  Fs.with_file ~mode:Write "/data/hello.txt" (fun d ->
      Fs.seek d 7;
      D.write_string d "DISK";
      say "position %d, size %d" (Fs.position d) (Fs.size d);
      let part = Bytes.create 5 in
      let n = Fs.pread d ~position:0 part 0 5 in
      say "pread %d %S, position %d" n (Bytes.sub_string part 0 n) (Fs.position d);
      Fs.pwrite d ~position:30 (Bytes.of_string "end") 0 3;
      Fs.truncate d 32;
      Fs.sync d);
  say "after: %S" (Fs.read_file "/data/hello.txt")

let large () =
  let block = Bytes.init 65536 (fun i -> Char.chr (i * 7 land 255)) in
  Fs.with_file ~mode:Truncate "/data/large.bin" (fun d ->
      for _ = 1 to 48 do
        D.write d block 0 65536
      done;
      Fs.sync d);
  let whole = Fs.read_file "/data/large.bin" in
  let rec same i =
    i = String.length whole || (whole.[i] = Bytes.get block (i land 65535) && same (i + 1))
  in
  say "large: %d bytes, as written: %b" (String.length whole) (same 0);
  let buffer = Bigarray.Array1.create Char C_layout 100_000 in
  Fs.with_file "/data/large.bin" (fun d ->
      let n = Fs.pread_into d ~position:65530 buffer 0 100_000 in
      say "into a bigarray: %d, %b" n (buffer.{10} = Bytes.get block 4))

let directories () =
  Fs.mkdir_p "/data/one/two/three";
  Fs.write_file "/data/one/A long name with spaces.text" "1";
  Fs.write_file "/data/one/grüße ☃.txt" "2";
  say "one: %s" (entries "/data/one");
  Fs.rename "/data/one/A long name with spaces.text" "/data/one/two/short";
  Fs.write_file "/data/one/victim" "old";
  Fs.rename "/data/one/two/short" "/data/one/victim";
  say "replaced: %S" (Fs.read_file "/data/one/victim");
  Fs.rename "/data/one/two" "/data/moved";
  say "data: %s" (entries "/data");
  say "moved: %s" (entries "/data/moved");
  Fs.rmdir "/data/moved/three";
  Fs.rmdir "/data/moved";
  for i = 1 to 200 do
    Fs.write_file (Printf.sprintf "/data/one/file number %d.txt" i) (string_of_int i)
  done;
  say "entries: %d" (List.length (Fs.list "/data/one"));
  say "the 150th: %S" (Fs.read_file "/data/one/FILE NUMBER 150.TXT");
  for i = 1 to 200 do
    Fs.unlink (Printf.sprintf "/data/one/file number %d.txt" i)
  done;
  let stat = Fs.stat "/data/one/victim" in
  say "stat: %d bytes, file: %b, recent: %b" stat.size (stat.kind = File)
    (Float.abs (stat.modified -. Soil.Clock.now ()) < 86_400.)

let errors () =
  error "missing" (fun () -> Fs.read_file "/data/none");
  error "directory as file" (fun () -> Fs.read_file "/data/one");
  error "file as directory" (fun () -> Fs.list "/data/hello.txt");
  error "exists" (fun () -> Fs.mkdir "/data/one");
  error "create over" (fun () -> Fs.open_ ~mode:Create "/data/hello.txt");
  error "not empty" (fun () -> Fs.rmdir "/data/one");
  error "into itself" (fun () -> Fs.rename "/data/one" "/data/one/inside");
  error "name" (fun () -> Fs.write_file "/data/a:b?" "x");
  error "long name" (fun () -> Fs.write_file ("/data/" ^ String.make 300 'n') "x");
  error "no disk" (fun () -> Fs.read_file "/nodisk/file");
  error "too large" (fun () -> Fs.read_file ~max:100 "/data/large.bin");
  error "read only" (fun () -> Fs.with_file "/data/hello.txt" (fun d -> D.write_string d "x"));
  say "exists: %b %b" (Fs.exists "/data/hello.txt") (Fs.exists "/data/none")

(* Another task gets its turn while files are written, although the process form has no disk to wait
   for. *)
let together () =
  let ticks = ref 0 in
  let (), () =
    Soil.Task.both
      (fun () ->
        for _ = 1 to 300 do
          Fs.write_file "/data/together" (String.make 20_000 't')
        done)
      (fun () ->
        for _ = 1 to 3 do
          incr ticks;
          Soil.Task.yield ()
        done)
  in
  say "others run meanwhile: %d" !ticks

let () =
  Soil.run @@ fun () ->
  contents ();
  large ();
  directories ();
  errors ();
  together ();
  let before = Fs.space "/data" in
  Fs.unlink "/data/large.bin";
  Fs.sync_all ();
  let after = Fs.space "/data" in
  say "room given back: %b" (after.free - before.free = 48 * 65536);
  say "data: %s" (entries "/data")
