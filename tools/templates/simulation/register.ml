(* One value in a file. Lines from a client, each answered by one line: "write VALUE" by "ok", "read"
   by "value VALUE" or "none". *)
module Fs = Soil.Fs

type t = { folder : string; mutable value : string option }

let path t = t.folder ^ "/value"

let load folder =
  let t = { folder; value = None } in
  if Fs.exists (path t) then t.value <- Some (Fs.read_file (path t));
  t

(* After a crash the file has the old value or the new one. Readers see the new one only when it is
   durable: they could lose it again otherwise. *)
let write t value =
  Fs.with_lock t.folder @@ fun () ->
  let part = path t ^ ".part" in
  Fs.with_file ~mode:Truncate part (fun file ->
      Soil.File_descriptor.write_string file value;
      Fs.sync file);
  Fs.rename part (path t);
  Fs.sync_volume (path t);
  t.value <- Some value

let execute t line =
  match String.split_on_char ' ' line with
  | [ "read" ] -> ( match t.value with Some value -> "value " ^ value | None -> "none")
  | [ "write"; value ] ->
      write t value;
      "ok"
  | _ -> "error not a command"

let serve t connection =
  let reader = Soil.Reader.create connection and writer = Soil.Writer.create connection in
  Soil.Writer.tie writer reader;
  let respond line = Soil.Writer.line writer (execute t line) in
  Seq.iter respond (Soil.Reader.Text.lines ~max:4096 reader)
