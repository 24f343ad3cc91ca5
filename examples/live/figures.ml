module Events = Soil_http.Events

type t = {
  figures : Events.message Soil.Broadcast.t;
  chat : Chat.t;
  started : float;
  mutable responses : int;
}

let interval = 1.
let count_response t = t.responses <- t.responses + 1
let subscribe t scope = Soil.Broadcast.subscribe ~max_lag:1 ~replay:1 scope t.figures

let figures t =
  let memory = Soil.Machine.memory () in
  `Assoc
    [
      ("seconds", `Int (int_of_float (Soil.Clock.monotonic () -. t.started)));
      ("watching", `Int (Soil.Broadcast.subscribers t.figures));
      ("responses", `Int t.responses);
      ("messages", `Int (Chat.count t.chat));
      ("memory", `Int (memory.in_use / 1024));
    ]

let rec publish t =
  (if Soil.Broadcast.subscribers t.figures > 0 then
     let data = Yojson.Safe.to_string (figures t) in
     Soil.Broadcast.publish t.figures (Events.message ~event:"figures" data));
  Soil.Clock.sleep interval;
  publish t

let create scope chat =
  let figures = Soil.Broadcast.create 1 in
  let t = { figures; chat; started = Soil.Clock.monotonic (); responses = 0 } in
  ignore (Soil.Task.spawn_daemon scope (fun () -> publish t));
  t
