(* A bucket is the moment at which it will be full, in nanoseconds: GCRA's "theoretical arrival
   time". Absent is the same as full. Buckets are in trees by their key and by that moment, in which
   no choice of keys makes a look-up long. Replacing the fullest bucket and counting from there is
   the step of the Space-Saving algorithm (Metwally and others, 2005): no bucket has more tokens
   than it should. *)

module Keys = Map.Make (String)

module Buckets = Set.Make (struct
  type t = int * string

  let compare (a, k) (b, l) = match Int.compare a b with 0 -> String.compare k l | order -> order
end)

type t = {
  now : unit -> float;
  token : int; (* nanoseconds in which one is added *)
  size : int; (* nanoseconds in which an empty bucket is full *)
  burst : int;
  capacity : int;
  mutable keys : int Keys.t;
  mutable buckets : Buckets.t; (* The same, the fullest first. *)
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
    now;
    token;
    size = token * burst;
    burst;
    capacity;
    keys = Keys.empty;
    buckets = Buckets.empty;
    length = 0;
  }

let length t = t.length

let add t ((full_at, key) as bucket) =
  t.keys <- Keys.add key full_at t.keys;
  t.buckets <- Buckets.add bucket t.buckets;
  t.length <- t.length + 1

let remove t ((_, key) as bucket) =
  t.keys <- Keys.remove key t.keys;
  t.buckets <- Buckets.remove bucket t.buckets;
  t.length <- t.length - 1

(* Two for each call: the table shrinks faster than it grows. *)
let drop_full t now =
  for _ = 1 to 2 do
    match Buckets.min_elt_opt t.buckets with
    | Some ((full_at, _) as bucket) when full_at <= now -> remove t bucket
    | Some _ | None -> ()
  done

(* Taking *)

let longest_key = 32
let short key = if String.length key <= longest_key then key else "long" ^ Digest.string key

let take ?(cost = 1) t key =
  if cost < 1 || cost > t.burst then invalid_arg "Soil_http.Limit.take: cost out of range";
  let key = short key and now = int_of_float (t.now () *. 1e9) in
  drop_full t now;
  let replaced =
    match Keys.find_opt key t.keys with
    | Some full_at -> Some (full_at, key)
    | None when t.length < t.capacity -> None
    | None -> Some (Buckets.min_elt t.buckets)
  in
  let before = Option.fold replaced ~none:now ~some:fst in
  let full_at = max now before + (cost * t.token) in
  let excess = full_at - now - t.size in
  if excess > 0 then Error (float_of_int excess *. 1e-9)
  else (
    Option.iter (remove t) replaced;
    add t (full_at, key);
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
      let headers = Cohttp.Header.init_with "retry-after" after in
      Server.error request ~headers `Too_many_requests
