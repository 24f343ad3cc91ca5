(* A durable key-value server: "get KEY", "set KEY LENGTH" and the value, "del KEY". *)
module R = Soil.Reader
module W = Soil.Writer
module Kv = Soil.Kv

let answer w = function
  | Ok value ->
      W.Printf.printf w "ok %d\n" (String.length value);
      W.string w value
  | Error e -> W.line w ("error " ^ Kv.error_to_string e)

let command store r w line =
  let done_ = Result.map (fun () -> "") in
  match String.split_on_char ' ' line with
  | [ "get"; key ] -> answer w (Kv.get store (Kv.Key.v key))
  | [ "set"; key; length ] -> (
      match int_of_string_opt length with
      | Some n when n >= 0 && n <= 1_000_000 ->
          let value = R.take r n in
          answer w (done_ (Kv.set store (Kv.Key.v key) value))
      | Some _ | None -> W.line w "error not a length")
  | [ "del"; key ] -> answer w (done_ (Kv.remove store (Kv.Key.v key)))
  | _ -> W.line w "error not a command"

let client store connection =
  let r = R.create connection and w = W.create connection in
  W.tie w r;
  Seq.iter (command store r w) (R.Text.lines ~max:1024 r)

let data = Soil.Needs.volume "data" ~doc:"the values"
let port = Soil.Needs.port "store" 7000

let () =
  Soil.run @@ fun () ->
  match Kv.connect data with
  | Error e -> failwith (Kv.error_to_string e)
  | Ok store -> Soil.Tcp.serve (Soil.Tcp.listen ~port ()) (client store)
