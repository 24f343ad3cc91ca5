(* Writes and reads a file of 16 MiB again and again, and says after each round how much memory is
   in use. Argument: MiB in all. After 64 and at the end it waits for a line: the host looks at the
   resident set then. *)
module D = Soil.File_descriptor

let mib = 1 lsl 20
let size = 16 * mib

let round buffer =
  let length = Bigarray.Array1.dim buffer in
  Soil.Fs.with_file ~mode:Truncate "/data/churn.bin" (fun d ->
      for _ = 1 to size / length do
        D.write_from d buffer 0 length
      done;
      Soil.Fs.sync d);
  Soil.Fs.with_file "/data/churn.bin" (fun d ->
      let rec loop total =
        match D.read_into d buffer 0 length with 0 -> total | n -> loop (total + n)
      in
      if loop 0 <> size then failwith "the file is shorter than written")

let () =
  Soil.run @@ fun () ->
  let buffer = Bigarray.Array1.create Char C_layout 65536 in
  let rounds = int_of_string Sys.argv.(1) * mib / size in
  for i = 1 to rounds do
    round buffer;
    Gc.full_major ();
    Printf.printf "%d MiB, in_use %d, heap %d\n%!"
      (i * size / mib)
      (Soil.Machine.memory ()).in_use
      ((Gc.quick_stat ()).heap_words * (Sys.word_size / 8));
    if i * size = 64 * mib || i = rounds then ignore (read_line ())
  done
