module Events = Soil_http.Events
module Broadcast = Soil.Broadcast

type t = { db : Database.t; changes : Events.message Broadcast.t }

let to_json products =
  let one ({ id; name; price; stock } : Products.t) =
    `Assoc [ ("id", `Int id); ("name", `String name); ("price", `Int price); ("stock", `Int stock) ]
  in
  `List (List.map one products)

let message products = Events.message ~event:"products" (Yojson.Safe.to_string (to_json products))

(* Both lists are in the order of numbers, and products are never removed. *)
let rec changed before now =
  match (before, now) with
  | b :: before, n :: now when b = n -> changed before now
  | _ :: before, n :: now -> n :: changed before now
  | [], now | _ :: _, now -> now

let rec publish t before =
  let now =
    if Broadcast.subscribers t.changes = 0 then before
    else
      match Products.all t.db with
      | products ->
          let changes = changed before products in
          if changes <> [] then Broadcast.publish t.changes (message changes);
          products
      | exception Database.Unavailable _ -> before
  in
  Soil.Clock.sleep 0.5;
  publish t now

let create scope db =
  let t = { db; changes = Broadcast.create 16 } in
  ignore (Soil.Task.spawn_daemon scope (fun () -> publish t []));
  t

let stream t =
  Events.stream @@ fun client ->
  Soil.Task.scope @@ fun scope ->
  (* Subscribed before the products are read: no change falls between the two. *)
  let subscription = Broadcast.subscribe scope t.changes in
  let send_all () = Events.send client (message (Products.all t.db)) in
  let rec forward () =
    match Broadcast.take subscription with
    | Message changes ->
        Events.send client changes;
        forward ()
    | Missed _ ->
        send_all ();
        forward ()
    | Ended -> ()
  in
  try
    send_all ();
    forward ()
  with Database.Unavailable _ -> ()
