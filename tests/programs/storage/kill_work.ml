(* Work on the file system /data whose machine is going to be killed, and what is found there
   afterwards. [until N]: steps from 1 on, at most N; a line "durable N" means that the block of step N
   is safe, and its file if N is even; a line "synced N" that all of it is. [sums]: the files with
   their digests. *)
module D = Soil.File_descriptor
module Fs = Soil.Fs

let say format = Printf.printf (format ^^ "\n%!")

(* What a checker outside can make as well. *)
let contents n = String.init (n * 977 mod 9000) (fun i -> Char.chr (((n * 31) + i) land 255))
let numbered n = Printf.sprintf "/data/files/%05d.bin" n
let block = 4096
let blocks = 64

(* Every way to make something durable, and every kind of change before it. *)
let step n =
  let file = Fs.open_ ~mode:Truncate (numbered n) in
  D.write_string file (contents n);
  if n mod 2 = 0 then Fs.sync file;
  D.close file;
  Fs.append_file "/data/log" (Printf.sprintf "line %d\n" n);
  Fs.write_file "/data/new" (contents n);
  Fs.rename "/data/new" "/data/current";
  if n > 8 then Fs.unlink (numbered (n - 8));
  if n mod 10 = 0 then Fs.mkdir (Printf.sprintf "/data/directory %d" n);
  if n mod 10 = 5 && n > 10 then Fs.rmdir (Printf.sprintf "/data/directory %d" (n - 5));
  Fs.with_file ~mode:Write "/data/blocks" (fun d ->
      let stamp = Printf.sprintf "%015d\n" n in
      let data = Bytes.init block (fun i -> stamp.[i land 15]) in
      Fs.pwrite d ~position:(n mod blocks * block) data 0 block;
      Fs.sync d);
  say "durable %d" n;
  Fs.sync_all ();
  say "synced %d" n

let rec sums path =
  List.iter
    (fun (name, kind) ->
      let inside = path ^ "/" ^ name in
      match kind with
      | Fs.Directory -> if name <> "lost+found" then sums inside
      | _ -> say "%s %s" (Digest.to_hex (Digest.string (Fs.read_file inside))) inside)
    (Fs.list path)

let () =
  Soil.run @@ fun () ->
  match Sys.argv with
  | [| _; "until"; last |] ->
      if not (Fs.exists "/data/files") then Fs.mkdir "/data/files";
      for n = 1 to int_of_string last do
        step n
      done
  | [| _; "sums" |] -> sums "/data"
  | _ -> failwith "until N, or sums"
