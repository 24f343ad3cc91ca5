module Events = Soil_http.Events

type t = Events.message Soil.Broadcast.t

let kept = 100
let create () = Soil.Broadcast.create kept
let count = Soil.Broadcast.published

let say chat ~name text =
  let id = count chat + 1 in
  let json = `Assoc [ ("id", `Int id); ("name", `String name); ("text", `String text) ] in
  let data = Yojson.Safe.to_string json in
  Soil.Broadcast.publish chat (Events.message ~event:"said" ~id:(string_of_int id) data);
  id

(* A number that is none of this chat's is of the server's last run. *)
let subscribe chat ?after scope =
  let replay =
    match after with
    | Some id when id >= 0 && id <= count chat -> count chat - id
    | Some _ | None -> min kept (count chat)
  in
  Soil.Broadcast.subscribe ~replay scope chat
