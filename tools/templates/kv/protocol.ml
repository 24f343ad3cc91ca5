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
  let reader = Soil.Reader.create connection in
  Soil.Writer.with_ connection @@ fun writer ->
  let rec next () =
    match Soil.Reader.line_opt ~max:65536 reader with
    | None -> ()
    | Some line ->
        let line = try execute store line with Invalid_argument _ -> "error not a key" in
        Soil.Writer.line writer line;
        (* One packet for the answers to lines that came together. *)
        if Soil.Reader.buffered reader = 0 then Soil.Writer.flush writer;
        next ()
  in
  next ()
