(* Lines from a client, each answered by one line: "get KEY", "set KEY VALUE", "del KEY". *)
module Kv = Soil.Kv

let answer = function Ok value -> "ok " ^ value | Error e -> "error " ^ Kv.error_to_string e

let execute store line =
  match String.split_on_char ' ' line with
  | [ "get"; key ] -> answer (Kv.get store (Kv.Key.v key))
  | "set" :: key :: value ->
      let value = String.concat " " value in
      answer (Result.map (fun () -> "") (Kv.set store (Kv.Key.v key) value))
  | [ "del"; key ] -> answer (Result.map (fun () -> "") (Kv.remove store (Kv.Key.v key)))
  | _ -> "error not a command"

let serve store connection =
  let reader = Soil.Reader.create connection and writer = Soil.Writer.create connection in
  (* The answers to lines that came together go out in one write. *)
  Soil.Writer.tie writer reader;
  let respond line =
    let line = try execute store line with Invalid_argument _ -> "error not a key" in
    Soil.Writer.line writer line
  in
  Seq.iter respond (Soil.Reader.Text.lines ~max:65536 reader)
