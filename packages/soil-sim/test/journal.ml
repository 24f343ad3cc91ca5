(* A program that counts in a file, and syncs it after each number. It says which numbers are durable
   by [synced N], and at its start which one it finds by [found N]. *)

let path = "/data/journal"

(* Says so before it syncs. *)
let careless = Array.length Sys.argv > 1
let record n = Printf.sprintf "%08d\n" n
let bytes = String.length (record 0)

(* The last whole number; what follows it was being written. *)
let found () =
  if not (Soil.Fs.exists path) then 0
  else
    let text = Soil.Fs.read_file path in
    let rec count n =
      let at = n * bytes in
      if at + bytes <= String.length text && String.sub text at bytes = record (n + 1) then
        count (n + 1)
      else n
    in
    count 0

let () =
  Soil.run @@ fun () ->
  let first = found () in
  Printf.printf "found %d\n%!" first;
  let file = Soil.Fs.open_ ~mode:Write path in
  Soil.Fs.truncate file (first * bytes);
  let rec count n =
    Soil.Fs.pwrite file ~position:((n - 1) * bytes) (Bytes.of_string (record n)) 0 bytes;
    if not careless then Soil.Fs.sync file;
    Printf.printf "synced %d\n%!" n;
    if careless then Soil.Fs.sync file;
    Soil.Clock.sleep 0.01;
    count (n + 1)
  in
  count (first + 1)
