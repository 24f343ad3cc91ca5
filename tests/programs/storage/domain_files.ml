(* Tasks of four domains that use the same volumes. Arguments: folders. *)

module D = Soil.Domain
module Fs = Soil.Fs

let domains = 4
let rounds = 12
let length i round = 1 + (((i * 7919) + (round * 30_011)) mod 70_000)
let content i round = String.init (length i round) (fun k -> Char.chr ((i + (k * round)) land 255))
let name i round = Printf.sprintf "%d-%d" i round

(* Each file is written, synced now and then, read, changed in the middle and renamed. *)
let work folder i =
  let own = Printf.sprintf "%s/own%d" folder i in
  Fs.mkdir own;
  for round = 1 to rounds do
    let path = own ^ "/new" and text = content i round in
    Fs.write_file path text;
    Fs.with_file ~mode:Fs.Write path (fun file ->
        if round land 3 = 0 then Fs.sync file;
        let middle = String.length text / 2 in
        let b = Bytes.create 1 in
        ignore (Fs.pread file ~position:middle b 0 1);
        Fs.pwrite file ~position:middle b 0 1);
    if Fs.read_file path <> text then failwith (path ^ ": another content");
    Fs.rename path (Printf.sprintf "%s/all/%s" folder (name i round))
  done;
  if Fs.list own <> [] then failwith (own ^ ": not empty");
  Fs.rmdir own

let check folder =
  let found = List.map fst (Fs.list (folder ^ "/all")) in
  let right i round =
    let file = name i round in
    List.mem file found && Fs.read_file (Printf.sprintf "%s/all/%s" folder file) = content i round
  in
  let each n f = List.for_all f (List.init n Fun.id) in
  Printf.printf "%s: %d files, %b\n%!" folder (List.length found)
    (each domains (fun i -> each rounds (fun round -> right i (round + 1))))

(* Domains that compute delay no other's files. *)
let beside folder =
  let started = Soil.Task.Semaphore.create 0 and finished = Atomic.make false in
  let compute () =
    while not (Atomic.get finished) do
      Domain.cpu_relax ()
    done
  in
  let use () =
    let path = folder ^ "/beside" in
    for round = 1 to 3 do
      Fs.write_file path (content 1 round);
      Fs.with_file ~mode:Fs.Write path Fs.sync;
      if Fs.read_file path <> content 1 round then failwith (path ^ ": another content")
    done;
    Atomic.set finished true
  in
  Soil.Task.scope (fun s ->
      for i = 1 to domains - 1 do
        let work () =
          Soil.Task.Semaphore.release started;
          if i = domains - 1 then use () else compute ()
        in
        ignore (D.spawn ~domain:i s work)
      done;
      for _ = 1 to domains - 1 do
        Soil.Task.Semaphore.acquire started
      done;
      compute ());
  Printf.printf "%s: beside domains that compute\n%!" folder

let () =
  let folders = List.tl (Array.to_list Sys.argv) in
  D.run ~domains @@ fun () ->
  List.iter (fun folder -> Fs.mkdir (folder ^ "/all")) folders;
  D.each (fun i -> Soil.Task.iter (fun folder -> work folder i) folders);
  List.iter check folders;
  List.iter beside folders
