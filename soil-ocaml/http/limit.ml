(* A bucket is the moment at which it will be full, in nanoseconds: GCRA's "theoretical arrival
   time". Absent is the same as full. The table is a heap by that moment, its root the fullest
   bucket, with a map from keys: a tree, in which no choice of keys makes a look-up long. Replacing
   the root and counting from there is the step of the Space-Saving algorithm (Metwally and others,
   2005): no bucket has more tokens than it should. *)

module Keys = Map.Make (String)

type bucket = { mutable key : string; mutable full_at : int; mutable place : int }

type t = {
  now : unit -> float;
  token : int; (* nanoseconds in which one is added *)
  size : int; (* nanoseconds in which an empty bucket is full *)
  burst : int;
  capacity : int;
  mutable keys : bucket Keys.t;
  mutable heap : bucket array;
  mutable length : int;
}

let century = 3.2e18

let create ?(capacity = 16384) ?(now = Soil.Clock.monotonic) ~rate ~burst () =
  let refuse what = invalid_arg ("Soil_http.Limit.create: " ^ what) in
  if capacity < 1 then refuse "capacity is less than 1";
  if burst < 1 then refuse "burst is less than 1";
  if not (rate >= 1e-6 && rate <= 1e9) then refuse "rate out of range";
  let token = Float.round (1e9 /. rate) in
  if token *. float_of_int burst > century then refuse "a bucket takes too long to fill";
  let token = int_of_float token in
  {
    now; token; size = token * burst; burst; capacity; keys = Keys.empty; heap = [||]; length = 0;
  }
[@@ocamlformat "disable"]

let length t = t.length

(* The heap *)

let put t b place =
  t.heap.(place) <- b;
  b.place <- place

let rec sift_up t b place =
  let parent = (place - 1) / 2 in
  if place > 0 && t.heap.(parent).full_at > b.full_at then (
    put t t.heap.(parent) place;
    sift_up t b parent)
  else put t b place

let rec sift_down t b place =
  let left = (2 * place) + 1 in
  if left >= t.length then put t b place
  else
    let right = left + 1 in
    let least =
      if right < t.length && t.heap.(right).full_at < t.heap.(left).full_at then right else left
    in
    if t.heap.(least).full_at < b.full_at then (
      put t t.heap.(least) place;
      sift_down t b least)
    else put t b place

let resize t size = t.heap <- Array.init size (fun i -> t.heap.(min i (t.length - 1)))

let add t b =
  let size = Array.length t.heap in
  if size = 0 then t.heap <- Array.make (min t.capacity 16) b
  else if t.length = size then resize t (min t.capacity (2 * size));
  t.keys <- Keys.add b.key b t.keys;
  t.length <- t.length + 1;
  sift_up t b (t.length - 1)

let remove_root t =
  let root = t.heap.(0) in
  t.keys <- Keys.remove root.key t.keys;
  t.length <- t.length - 1;
  let last = t.heap.(t.length) in
  if t.length = 0 then t.heap <- [||]
  else (
    sift_down t last 0;
    let size = Array.length t.heap in
    if size > 16 && t.length < size / 4 then resize t (size / 2))

(* Two for each call: the table shrinks faster than it grows. *)
let drop_full t now =
  for _ = 1 to 2 do
    if t.length > 0 && t.heap.(0).full_at <= now then remove_root t
  done

(* Taking *)

let longest_key = 32
let short key = if String.length key <= longest_key then key else "long" ^ Digest.string key

let set t key found full_at =
  match found with
  | Some b ->
      b.full_at <- full_at;
      sift_down t b b.place
  | None when t.length < t.capacity -> add t { key; full_at; place = 0 }
  | None ->
      let root = t.heap.(0) in
      t.keys <- Keys.add key root (Keys.remove root.key t.keys);
      root.key <- key;
      root.full_at <- full_at;
      sift_down t root 0

let take ?(cost = 1) t key =
  if cost < 1 || cost > t.burst then invalid_arg "Soil_http.Limit.take: cost out of range";
  let key = short key and now = int_of_float (t.now () *. 1e9) in
  drop_full t now;
  let found = Keys.find_opt key t.keys in
  let before =
    match found with
    | Some b -> b.full_at
    | None -> if t.length < t.capacity then now else t.heap.(0).full_at
  in
  let full_at = max now before + (cost * t.token) in
  let excess = full_at - now - t.size in
  if excess > 0 then Error (float_of_int excess *. 1e-9)
  else (
    set t key found full_at;
    Ok ())

(* Requests *)

let key_of_address a =
  if Soil.Net.Address.is_v4 a then Soil.Net.Address.to_octets a
  else String.sub (Soil.Net.Address.to_octets a) 0 8

let address request =
  Option.map (fun (e : Soil.Net.Endpoint.t) -> key_of_address e.address) (Server.endpoint request)

let handler ?(key = address) t f request =
  match Option.fold ~none:(Ok ()) ~some:(take t) (key request) with
  | Ok () -> f request
  | Error seconds ->
      let after = string_of_int (max 1 (int_of_float (Float.ceil seconds))) in
      Server.status ~headers:(Cohttp.Header.init_with "retry-after" after) `Too_many_requests
