module Events = Soil_http.Events
module Broadcast = Soil.Broadcast

type t = {
  db : Database.t;
  changes : Events.message Broadcast.t;
  mutable products : Products.t list;
}

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

let publish t =
  if Broadcast.subscribers t.changes > 0 then (
    let products = Products.all t.db in
    let changes = changed t.products products in
    t.products <- products;
    if changes <> [] then Broadcast.publish t.changes (message changes));
  Soil.Clock.sleep 0.5

let create scope db =
  let t = { db; changes = Broadcast.create 16; products = [] } in
  let run () = Database.forever ~name:"live" (fun () -> publish t) in
  ignore (Soil.Task.spawn_daemon scope run);
  t

let rec send_all t client after =
  match Products.after t.db after with
  | [] -> ()
  | products ->
      Events.send client (message products);
      send_all t client (List.fold_left (fun _ (p : Products.t) -> p.id) after products)

let stream t =
  Events.stream @@ fun client ->
  Soil.Task.scope @@ fun scope ->
  (* Subscribed before the products are read: no change falls between the two. *)
  let subscription = Broadcast.subscribe scope t.changes in
  try
    send_all t client 0;
    Events.forward client subscription ~missed:(fun _ -> send_all t client 0)
  with Database.Unavailable _ -> ()
