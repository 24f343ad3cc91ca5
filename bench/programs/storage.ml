(* Disks and files, timed by the host between the lines "begin" and "end"; what the guest itself has
   to time is a line "value". Each argument is one piece of work, its words separated by '/'. *)

let kib = 1024
let mib = 1024 * kib

let timed work =
  print_endline "begin";
  work ();
  print_endline "end"

let filled size =
  let data = Io.disk_buffer size in
  for i = 0 to size - 1 do
    Bigarray.Array1.unsafe_set data i (Char.unsafe_chr (i * 31))
  done;
  data

(* 1 MiB after the other. *)
let sequential ~write size =
  let disk = Io.open_disk () and data = filled mib in
  let transfer = if write then Io.write_disk else Io.read_disk in
  timed (fun () ->
      for i = 0 to (size / mib) - 1 do
        transfer disk data ~at:(i * mib)
      done;
      if write then Io.flush disk);
  Io.close_file disk

let positions count size =
  let state = Random.State.make [| 42 |] in
  Array.init count (fun _ -> Random.State.int state (size / (4 * kib)) * 4 * kib)

let random ~write depth count size =
  let disk = Io.open_disk () and positions = positions count size in
  timed (fun () ->
      Io.transfers disk ~write ~depth ~size:(4 * kib) positions;
      if write then Io.flush disk);
  Io.close_file disk

let median values =
  Array.sort compare values;
  values.(Array.length values / 2)

(* A flush after a block was written: with nothing to flush a device may answer at once. *)
let flushes count =
  let disk = Io.open_disk () and data = filled (4 * kib) in
  let flush i =
    Io.write_disk disk data ~at:(i * 4 * kib);
    let start = Io.now () in
    Io.flush disk;
    Io.now () -. start
  in
  Printf.printf "value %.2f\n%!" (1e6 *. median (Array.init count flush));
  Io.close_file disk

let write name size =
  let data = filled (64 * kib) in
  timed (fun () ->
      let file = Io.open_file name ~write:true in
      for _ = 1 to size / (64 * kib) do
        Io.write_file file data
      done;
      Io.finish_file file)

let read name data =
  let file = Io.open_file name ~write:false in
  while Io.read_file file data > 0 do
    ()
  done;
  Io.close_file file

let again times work =
  work ();
  timed (fun () ->
      for _ = 1 to times do
        work ()
      done)

(* Reads of data that a first reading has left in the cache, copied and not looked at. *)
let copy_again name times =
  let data = Io.disk_buffer (64 * kib) in
  again times (fun () -> read name data)

(* One byte of each cache line. *)
let sum_of (data : Io.buffer) length =
  let sum = ref 0 in
  for i = 0 to (length / 64) - 1 do
    sum := !sum + Char.code (Bigarray.Array1.unsafe_get data (i * 64))
  done;
  !sum

(* Reads of cached data, in place or as a copy, with one byte of each cache line used. *)
let read_again how name times =
  let sum = ref 0 in
  let add data length = sum := !sum + sum_of data length in
  let in_place () = Store.read name (fun data -> add data (Bigarray.Array1.dim data)) in
  let data = Io.disk_buffer (64 * kib) in
  let copied () =
    let file = Io.open_file name ~write:false in
    let rec go () =
      let n = Io.read_file file data in
      if n > 0 then (
        add data n;
        go ())
    in
    go ();
    Io.close_file file
  in
  again times (if how = "in-place" then in_place else copied);
  ignore (Sys.opaque_identity !sum)

(* Names of 20 letters. *)
let numbered = Printf.sprintf "a file called %06d"

(* Times [work] on each of [count] files and the sync that follows. *)
let each_file count work =
  timed (fun () ->
      for i = 1 to count do
        work (numbered i)
      done;
      Io.flush_all ())

(* Files of 100 bytes. *)
let create count =
  let data = filled 100 in
  each_file count (fun name ->
      let file = Io.open_file name ~write:true in
      Io.write_file file data;
      Io.close_file file)

let renamed name = name ^ " and renamed"

(* The first work of its boot. What the first use of a disk takes (the mount, code that runs for the
   first time) is not the files' part: one of them goes there and back before. *)
let rename count =
  let first = numbered 1 in
  Store.rename first (renamed first);
  Store.rename (renamed first) first;
  Io.flush_all ();
  each_file count (fun name -> Store.rename name (renamed name))

let unlink count = each_file count (fun name -> Store.unlink (renamed name))
let mount () = timed Store.mount

let fill directory count =
  Store.make_directory directory;
  each_file count (fun name -> Io.close_file (Io.open_file (directory ^ "/" ^ name) ~write:true))

let list directory count =
  let found = ref 0 in
  timed (fun () -> found := Store.entries directory);
  if !found <> count then failwith (Printf.sprintf "%d entries in %s" !found directory)

(* So many tasks, each with a file of its own, that append at the same time. *)
let append_together tasks count =
  let data = filled (4 * kib) in
  let files = List.init tasks (fun i -> Io.open_file (Printf.sprintf "log %d" i) ~write:true) in
  timed (fun () -> Store.append_together files count data);
  List.iter Io.close_file files

let append name count =
  let data = filled (4 * kib) in
  let file = Io.open_file name ~write:true in
  timed (fun () ->
      for _ = 1 to count do
        Io.write_file file data;
        Io.flush file
      done);
  Io.close_file file

(* Values of 100 bytes under 50 keys. *)
let set count =
  let value = String.make 100 'v' in
  Store.connect ();
  timed (fun () ->
      for i = 1 to count do
        Store.set (Printf.sprintf "key %d" (i mod 50)) value
      done)

let set_together tasks count =
  Store.connect ();
  timed (fun () -> Store.set_together tasks (count / tasks) (String.make 100 'v'))

(* The reader looks at every cache line. *)
let embedded size times =
  Store.embed "large" (String.init size (fun i -> Char.chr (i land 255)));
  let read () = ignore (Sys.opaque_identity (sum_of (Store.contents "large") size)) in
  timed (fun () ->
      for _ = 1 to times do
        read ()
      done)

let work words =
  let number = int_of_string in
  match words with
  | [ "sequential-read"; size ] -> sequential ~write:false (number size)
  | [ "sequential-write"; size ] -> sequential ~write:true (number size)
  | [ "random-read"; depth; count; size ] ->
      random ~write:false (number depth) (number count) (number size)
  | [ "random-write"; depth; count; size ] ->
      random ~write:true (number depth) (number count) (number size)
  | [ "flushes"; count ] -> flushes (number count)
  | [ "write"; name; size ] -> write name (number size)
  | [ "read"; name ] ->
      let data = Io.disk_buffer (64 * kib) in
      timed (fun () -> read name data)
  | [ "read-large"; name ] ->
      let data = Io.disk_buffer mib in
      timed (fun () -> read name data)
  | [ "copy-again"; name; times ] -> copy_again name (number times)
  | [ "read-again"; how; name; times ] -> read_again how name (number times)
  | [ "create"; count ] -> create (number count)
  | [ "rename"; count ] -> rename (number count)
  | [ "unlink"; count ] -> unlink (number count)
  | [ "mount" ] -> mount ()
  | [ "fill"; directory; count ] -> fill directory (number count)
  | [ "list"; directory; count ] -> list directory (number count)
  | [ "append-together"; tasks; count ] -> append_together (number tasks) (number count)
  | [ "set"; count ] -> set (number count)
  | [ "set-together"; tasks; count ] -> set_together (number tasks) (number count)
  | [ "embedded"; size; times ] -> embedded (number size) (number times)
  | [ "append"; name; count ] -> append name (number count)
  | _ -> prerr_endline ("unknown work " ^ String.concat "/" words)

let () =
  Io.run @@ fun () ->
  List.iter (fun word -> work (String.split_on_char '/' word)) (List.tl (Array.to_list Sys.argv))
