(* Values for all who listen. *)
open Check
module B = Soil.Broadcast

let show = function
  | B.Message n -> string_of_int n
  | Missed n -> "missed " ^ string_of_int n
  | Ended -> "ended"

let rec all s =
  match B.poll s with
  | Some Ended -> [ "ended" ]
  | Some event ->
      let event = show event in
      event :: all s
  | None -> []

let publish b l = List.iter (B.publish b) l

let each_takes_all () =
  T.scope @@ fun scope ->
  let b = B.create 8 in
  publish b [ 1; 2 ];
  let s = B.subscribe scope b and other = B.subscribe scope b in
  let with_two = B.subscribe ~replay:2 scope b and with_more = B.subscribe ~replay:9 scope b in
  publish b [ 3; 4 ];
  int "lag" 2 (B.lag s);
  strings "from now on" [ "3"; "4" ] (all s);
  int "no lag" 0 (B.lag s);
  strings "the other one as well" [ "3"; "4" ] (all other);
  strings "with the last two" [ "1"; "2"; "3"; "4" ] (all with_two);
  strings "with all there are" [ "1"; "2"; "3"; "4" ] (all with_more);
  int "subscribers" 4 (B.subscribers b);
  int "published" 4 (B.published b);
  publish b [ 5 ];
  B.close b;
  B.close b;
  strings "the rest and the end" [ "5"; "ended" ] (all s);
  strings "which stays" [ "ended" ] (all s);
  fails_with "closed" Closed (fun () -> B.publish b 6)

let slow_ones () =
  T.scope @@ fun scope ->
  let b = B.create 4 in
  let drops = B.subscribe scope b and ends = B.subscribe ~policy:End_slow scope b in
  let strict = B.subscribe ~max_lag:2 scope b in
  publish b [ 1; 2; 3; 4 ];
  strings "at the bound" [ "1"; "2"; "3"; "4" ] (all drops);
  strings "a bound of its own" [ "missed 2"; "3"; "4" ] (all strict);
  publish b [ 5 ];
  strings "goes on" [ "5" ] (all drops);
  strings "ends" [ "missed 5"; "ended" ] (all ends);
  int "and is none" 2 (B.subscribers b);
  publish b [ 6; 7; 8; 9; 10; 11 ];
  strings "drops" [ "missed 2"; "8"; "9"; "10"; "11" ] (all drops);
  let late = B.subscribe ~replay:10 scope b in
  strings "of which the oldest are gone" [ "missed 6"; "8"; "9"; "10"; "11" ] (all late)

let waiting () =
  let b = B.create 4 in
  T.scope @@ fun scope ->
  let s = B.subscribe scope b in
  bool "cancelled" true (T.timeout_opt 0.01 (fun () -> B.take s) = None);
  let taken = T.spawn scope (fun () -> List.init 3 (fun _ -> show (B.take s))) in
  T.yield ();
  B.publish b 1;
  T.yield ();
  publish b [ 2; 3 ];
  strings "each, and none twice" [ "1"; "2"; "3" ] (T.await taken);
  let ended = T.spawn scope (fun () -> B.take s) in
  T.yield ();
  B.unsubscribe s;
  B.unsubscribe s;
  string "by unsubscribe" "ended" (show (T.await ended));
  let s = B.subscribe scope b in
  let ended = T.spawn scope (fun () -> B.take s) in
  T.yield ();
  B.close b;
  string "by close" "ended" (show (T.await ended))

let scopes () =
  let b = B.create 2 in
  let s = T.scope (fun scope -> B.subscribe scope b) in
  int "gone" 0 (B.subscribers b);
  B.publish b 1;
  strings "ended" [ "ended" ] (all s);
  is_invalid "capacity" (fun () -> B.create 0);
  T.scope @@ fun scope ->
  is_invalid "lag" (fun () -> B.subscribe ~max_lag:0 scope b);
  is_invalid "lag over the capacity" (fun () -> B.subscribe ~max_lag:3 scope b);
  is_invalid "replay" (fun () -> B.subscribe ~replay:(-1) scope b)

(* The broadcast refers to a value once, and no longer than its capacity says. *)
let memory () =
  T.scope @@ fun scope ->
  let b = B.create 2 in
  let subscriptions = List.init 10 (fun _ -> B.subscribe scope b) in
  let freed = ref 0 in
  let publish () =
    let v = Bytes.create 10 in
    Gc.finalise_last (fun () -> incr freed) v;
    B.publish b v
  in
  for _ = 1 to 100 do
    publish ()
  done;
  Gc.full_major ();
  int "all but two" 98 !freed;
  List.iter (fun s -> bool "missed" true (B.take s = Missed 98)) subscriptions

type step = Publish | Take of int

(* Against a model: each subscriber gets each number once, in order, or as missed. *)
let as_published (capacity, lags, steps) =
  T.scope @@ fun scope ->
  let b = B.create capacity in
  let each (lag, drops) =
    let policy = if drops then B.Drop_oldest else End_slow in
    let max_lag = 1 + (lag mod capacity) in
    (B.subscribe ~policy ~max_lag scope b, max_lag, ref 0, drops)
  in
  let subscribers = Array.of_list (List.map each lags) in
  let published = ref 0 in
  let take (s, max_lag, next, drops) =
    match B.poll s with
    | None -> !next = !published
    | Some (Message n) ->
        incr next;
        n = !next - 1 && !published - n <= max_lag
    | Some (Missed n) ->
        next := !next + n;
        let behind = !published - !next in
        if drops then behind = max_lag else behind = 0 && B.poll s = Some Ended
    | Some Ended -> not drops
  in
  let step = function
    | Publish ->
        B.publish b !published;
        incr published;
        true
    | Take i -> take subscribers.(i mod Array.length subscribers)
  in
  List.for_all step steps

let gen =
  let open QCheck2.Gen in
  let step = frequency [ (2, pure Publish); (3, map (fun i -> Take i) small_nat) ] in
  triple (int_range 1 6)
    (list_size (int_range 1 4) (pair small_nat bool))
    (list_size (int_range 0 60) step)

let tests =
  [
    in_run "each subscriber takes each value" each_takes_all;
    in_run "slow subscribers miss values, or end" slow_ones;
    in_run "waiting, cancellation and ends" waiting;
    in_run "subscriptions end with their scopes" scopes;
    in_run "values are kept once, up to the capacity" memory;
    property_in_run "a subscriber's events are the values in order" gen as_published;
  ]
