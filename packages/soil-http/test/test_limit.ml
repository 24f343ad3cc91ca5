(* Soil_http.Limit against a model without a bound, by a clock of the test. *)
open Check
module L = Soil_http.Limit

let clock () =
  let now = ref 1000. in
  ((fun () -> !now), fun seconds -> now := !now +. seconds)

let taken = function Ok () -> "ok" | Error seconds -> Printf.sprintf "%.3f" seconds

let one_bucket () =
  let now, pass = clock () in
  let limit = L.create ~now ~rate:2. ~burst:3 () in
  let takes ?cost what wanted = string what wanted (taken (L.take ?cost limit "a")) in
  List.iter (fun n -> takes n "ok") [ "first"; "second"; "third" ];
  takes "empty" "0.500";
  takes "nothing was taken" "0.500";
  string "another's" "ok" (taken (L.take limit "b"));
  pass 0.25;
  takes "later" "0.250";
  pass 0.25;
  takes "one again" "ok";
  takes "and no more" "0.500";
  takes ~cost:3 "all" "1.500";
  pass 100.;
  takes ~cost:3 "not more than full" "ok";
  takes "empty again" "0.500";
  is_invalid "no cost" (fun () -> ignore (L.take ~cost:0 limit "a"));
  is_invalid "never" (fun () -> ignore (L.take ~cost:4 limit "a"))

let refused () =
  let create ?capacity rate burst () = ignore (L.create ?capacity ~rate ~burst ()) in
  is_invalid "no rate" (create 0. 1);
  is_invalid "a negative rate" (create (-1.) 1);
  is_invalid "not a number" (create nan 1);
  is_invalid "too fast" (create infinity 1);
  is_invalid "no burst" (create 1. 0);
  is_invalid "no capacity" (create ~capacity:0 1. 1);
  is_invalid "too long" (create 1e-6 1_000_000)

let length () =
  let now, pass = clock () in
  let limit = L.create ~capacity:100 ~now ~rate:1. ~burst:1 () in
  for i = 1 to 100_000 do
    ignore (L.take limit (string_of_int i))
  done;
  int "bounded" 100 (L.length limit);
  pass 10.;
  for _ = 1 to 60 do
    ignore (L.take limit "same")
  done;
  int "full ones go" 1 (L.length limit);
  let big = String.make 1_000_000 'a' in
  bool "a long key" true (L.take limit big = Ok ());
  bool "again" true (L.take limit big <> Ok ());
  bool "another" true (L.take limit (big ^ "b") = Ok ())

(* A stranger with many addresses uses them to have its own bucket forgotten. *)
let no_reset () =
  let now, pass = clock () in
  let limit = L.create ~capacity:8 ~now ~rate:1. ~burst:5 () in
  let allowed = ref 0 in
  for i = 1 to 1000 do
    if L.take limit "stranger" = Ok () then incr allowed;
    ignore (L.take limit (string_of_int i));
    ignore (L.take limit (string_of_int (i + 1)));
    pass 0.01
  done;
  bool "at most five and one a second" true (!allowed <= 5 + 10)

(* The model: tokens, in nanoseconds that they take, of every key that there was. *)
let model ~rate ~burst =
  let token = int_of_float (Float.round (1e9 /. rate)) and buckets = Hashtbl.create 16 in
  fun now key cost ->
    let now = int_of_float (now *. 1e9) in
    let left, since = Option.value ~default:(burst * token, now) (Hashtbl.find_opt buckets key) in
    let left = min (burst * token) (left + now - since) in
    let may = left >= cost * token in
    Hashtbl.replace buckets key ((if may then left - (cost * token) else left), now);
    may

type step = Take of int * int | Pass of float

let gen_steps =
  let open QCheck2.Gen in
  let step =
    frequency
      [
        (5, map2 (fun key cost -> Take (key, 1 + cost)) (int_bound 9) (int_bound 2));
        (2, map (fun n -> Pass (float_of_int n *. 0.01)) (int_bound 100));
      ]
  in
  list_size (int_bound 200) step

let run ~capacity steps law =
  let rate = 3. and burst = 4 in
  let now, pass = clock () in
  let limit = L.create ~capacity ~now ~rate ~burst () and model = model ~rate ~burst in
  List.for_all
    (function
      | Pass seconds ->
          pass seconds;
          true
      | Take (key, cost) ->
          let answer = L.take ~cost limit (string_of_int key) in
          law answer (fun () -> model (now ()) key cost) && L.length limit <= capacity)
    steps

let like_the_model steps = run ~capacity:10 steps (fun answer model -> answer = Ok () = model ())

(* With fewer buckets than keys: never more than the model allows. The model takes what was taken. *)
let never_more (capacity, steps) =
  run ~capacity:(capacity + 1) steps (fun answer model -> answer <> Ok () || model ())

(* A time in [Error] is exact. *)
let in_time steps =
  let now, pass = clock () in
  let limit = L.create ~now ~rate:3. ~burst:4 () in
  List.for_all
    (function
      | Pass seconds ->
          pass seconds;
          true
      | Take (key, cost) -> (
          let key = string_of_int key in
          match L.take ~cost limit key with
          | Ok () -> true
          | Error seconds ->
              pass (seconds -. 1e-3);
              let early = seconds < 1e-3 || L.take ~cost limit key <> Ok () in
              pass (1e-3 +. 1e-6);
              early && L.take ~cost limit key = Ok ()))
    steps

let keys () =
  let key s = L.key_of_address (Soil.Net.Address.of_string s) in
  bool "one host" true (key "2001:db8::1" = key "2001:db8:0:0:ffff::2");
  bool "two networks" true (key "2001:db8::1" <> key "2001:db8:0:1::1");
  bool "two hosts" true (key "192.0.2.1" <> key "192.0.2.2");
  bool "one address" true (key "192.0.2.1" = key "::ffff:192.0.2.1")

let handler () =
  let now, _ = clock () in
  let limit = L.create ~now ~rate:0.1 ~burst:2 () in
  let key request = Server.header request "x-key" in
  let handler = L.handler ~key limit (fun _ -> Server.string "ok\n") in
  let with_key = get "/" ~fields:"X-Key: a\r\n" in
  let text = answers handler [ with_key; with_key; with_key; get "/"; get "/"; get "/" ] in
  let lines = String.split_on_char '|' (plain text) in
  let starting prefix = List.filter (String.starts_with ~prefix) lines in
  strings "answers"
    [ "HTTP/1.1 200 OK"; "HTTP/1.1 200 OK"; "HTTP/1.1 429 Too Many Requests" ]
    (List.filteri (fun i _ -> i < 3) (starting "HTTP/"));
  int "all" 6 (List.length (starting "HTTP/"));
  strings "when" [ "retry-after: 10" ] (starting "retry-after")

let tests =
  [
    test "a bucket" one_bucket;
    test "numbers out of range" refused;
    test "a bounded table" length;
    test "no way to reset a bucket" no_reset;
    test "keys of addresses" keys;
    in_run "a handler" handler;
    property ~count:1000 "as many buckets as keys" gen_steps like_the_model;
    property ~count:2000 "fewer buckets than keys"
      QCheck2.Gen.(pair (int_bound 5) gen_steps)
      never_more;
    property ~count:500 "when to come back" gen_steps in_time;
  ]
