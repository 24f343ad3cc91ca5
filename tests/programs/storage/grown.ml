(* A volume on a disk that became larger: the words are the MiB to write, and the files that must
   have what earlier runs wrote. *)
module D = Soil.File_descriptor
module Fs = Soil.Fs

let mib = 1 lsl 20
let say format = Printf.printf (format ^^ "\n%!")

let piece name n =
  let first = Hashtbl.hash (name, n) in
  Bytes.init mib (fun i -> Char.unsafe_chr ((first + i) land 255))

let write name size =
  Fs.with_file ~mode:Create ("/data/" ^ name) @@ fun d ->
  for n = 0 to size - 1 do
    Fs.pwrite d ~position:(n * mib) (piece name n) 0 mib
  done;
  Fs.sync d

let is_whole name =
  Fs.with_file ("/data/" ^ name) @@ fun d ->
  let size = (Fs.stat ("/data/" ^ name)).size / mib in
  let buffer = Bytes.create mib in
  let same n = Fs.pread d ~position:(n * mib) buffer 0 mib = mib && buffer = piece name n in
  size > 0 && List.for_all same (List.init size Fun.id)

let () =
  Soil.run @@ fun () ->
  match List.tl (Array.to_list Sys.argv) with
  | name :: size :: known ->
      List.iter (fun name -> say "%s: %b" name (is_whole name)) known;
      write name (int_of_string size);
      say "%s: %b, of %d MiB" name (is_whole name) ((Fs.space "/data").total / mib)
  | _ -> prerr_endline "usage: grown NAME MIB KNOWN..."
