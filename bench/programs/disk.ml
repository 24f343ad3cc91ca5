(* Disk and file transfers, timed by the host between the lines "begin" and "end". Arguments:
   sequential BYTES, random COUNT DISK_BYTES, read FILE, write FILE BYTES. *)

let kib = 1024
let mib = 1024 * kib

let timed work =
  print_endline "begin";
  work ();
  print_endline "end"

let sequential bytes =
  let disk = Io.open_disk () and buffer = Io.disk_buffer mib in
  timed (fun () ->
      for i = 0 to (bytes / mib) - 1 do
        Io.read_disk disk buffer ~at:(i * mib)
      done)

let random count bytes =
  let disk = Io.open_disk () and buffer = Io.disk_buffer (4 * kib) in
  let state = Random.State.make [| 42 |] in
  let blocks = bytes / (4 * kib) in
  timed (fun () ->
      for _ = 1 to count do
        Io.read_disk disk buffer ~at:(Random.State.int state blocks * 4 * kib)
      done)

let write name bytes =
  let buffer = Io.disk_buffer (64 * kib) in
  Bigarray.Array1.fill buffer 'w';
  timed (fun () ->
      let file = Io.open_file name ~write:true in
      for _ = 1 to bytes / (64 * kib) do
        Io.write_file file buffer
      done;
      Io.finish_file file)

let read name =
  let buffer = Io.disk_buffer (64 * kib) in
  timed (fun () ->
      let file = Io.open_file name ~write:false in
      while Io.read_file file buffer > 0 do
        ()
      done;
      Io.finish_file file)

let () =
  Io.run @@ fun () ->
  let number i = int_of_string Sys.argv.(i) in
  match Sys.argv.(1) with
  | "sequential" -> sequential (number 2)
  | "random" -> random (number 2) (number 3)
  | "write" -> write Sys.argv.(2) (number 3)
  | "read" -> read Sys.argv.(2)
  | mode -> prerr_endline ("unknown transfer " ^ mode)
