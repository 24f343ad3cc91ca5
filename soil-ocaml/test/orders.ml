(* What tasks of two domains see of a value is what some order of their calls explains
   (linearizability). Each round makes a few calls in each domain at the same moment, and looks for
   the order among all that keep each domain's own. *)

module T = Soil.Task
module D = Soil.Domain

(* A call, and the same on a model, which is immutable. The result is a text. *)
type ('value, 'model) call = { make : 'value -> string; step : 'model -> 'model * string }

(* Whether an order of the calls with these results is one of the model's. *)
let rec explained model a b =
  let first calls others =
    match calls with
    | [] -> false
    | (call, result) :: rest ->
        let model, expected = call.step model in
        expected = result && others model rest
  in
  (a = [] && b = [])
  || first a (fun model rest -> explained model rest b)
  || first b (fun model rest -> explained model a rest)

let calls = 4

(* Ends its wait by spinning if the other domain runs, and else by a sleep. *)
let rec await count n tries =
  if Atomic.get count < n then (
    if tries land 1023 = 1023 then Soil.Clock.sleep 0.0001 else Domain.cpu_relax ();
    await count n (tries + 1))

(* [rounds] new values, each with calls of both domains that [choose] picks. *)
let check name rounds ~create ~model choose =
  let random = Random.State.make [| Hashtbl.hash name |] in
  let values = Array.init rounds (fun _ -> create ()) and arrived = Atomic.make 0 in
  let calls_of side = List.init calls (fun _ -> choose random side) in
  let chosen = Array.init 2 (fun side -> Array.init rounds (fun _ -> calls_of side)) in
  let results = Array.map (Array.map (fun _ -> [])) chosen in
  let run side () =
    for round = 0 to rounds - 1 do
      Atomic.incr arrived;
      await arrived (2 * (round + 1)) 0;
      let result call = (call, call.make values.(round)) in
      results.(side).(round) <- List.map result chosen.(side).(round)
    done
  in
  T.scope (fun s ->
      let there = D.spawn ~domain:(D.count () - 1) s (run 1) in
      let here = T.spawn s (run 0) in
      T.await here;
      T.await there);
  for round = 0 to rounds - 1 do
    let a = results.(0).(round) and b = results.(1).(round) in
    if not (explained model a b) then
      let texts l = String.concat " " (List.map snd l) in
      failwith
        (Printf.sprintf "%s, round %d: no order gives %s / %s" name round (texts a) (texts b))
  done

let pick random l = List.nth l (Random.State.int random (List.length l))
let of_bool name b = Printf.sprintf "%s=%b" name b
let of_int name n = Printf.sprintf "%s=%d" name n

let stream capacity =
  let push n =
    let text = "push" ^ string_of_int n in
    {
      make =
        (fun s ->
          match T.Stream.try_push s n with
          | pushed -> of_bool text pushed
          | exception Soil.Error { code = Closed; _ } -> text ^ "=closed");
      step =
        (fun (values, closed) ->
          if closed then ((values, closed), text ^ "=closed")
          else if List.length values < capacity then ((values @ [ n ], closed), of_bool text true)
          else ((values, closed), of_bool text false));
    }
  in
  let poll =
    let text = function None -> "poll" | Some n -> of_int "poll" n in
    {
      make = (fun s -> text (T.Stream.poll s));
      step =
        (function
        | n :: values, closed -> ((values, closed), text (Some n))
        | [], closed -> (([], closed), text None));
    }
  in
  let length =
    {
      make = (fun s -> of_int "length" (T.Stream.length s));
      step = (fun (values, closed) -> ((values, closed), of_int "length" (List.length values)));
    }
  in
  let close =
    {
      make =
        (fun s ->
          T.Stream.close s;
          "close");
      step = (fun (values, _) -> ((values, true), "close"));
    }
  in
  fun rounds ->
    check (of_int "stream" capacity) rounds
      ~create:(fun () -> T.Stream.create capacity)
      ~model:([], false)
      (fun random side ->
        let value = (100 * side) + Random.State.int random 10 in
        pick random [ push value; push value; push value; poll; poll; length; close ])

let semaphore rounds =
  let calls =
    [
      {
        make = (fun s -> of_bool "acquire" (T.Semaphore.try_acquire s));
        step = (fun n -> (max 0 (n - 1), of_bool "acquire" (n > 0)));
      };
      {
        make =
          (fun s ->
            T.Semaphore.release s;
            "release");
        step = (fun n -> (n + 1, "release"));
      };
      {
        make = (fun s -> of_int "available" (T.Semaphore.available s));
        step = (fun n -> (n, of_int "available" n));
      };
    ]
  in
  check "semaphore" rounds
    ~create:(fun () -> T.Semaphore.create 2)
    ~model:2
    (fun random _ -> pick random calls)

let mutex rounds =
  let free = -1 in
  let calls side =
    [
      {
        make = (fun m -> of_bool "lock" (T.Mutex.try_lock m));
        step =
          (fun holder ->
            if holder = free then (side, of_bool "lock" true) else (holder, of_bool "lock" false));
      };
      {
        make =
          (fun m ->
            match T.Mutex.unlock m with
            | () -> of_bool "unlock" true
            | exception Invalid_argument _ -> of_bool "unlock" false);
        step =
          (fun holder ->
            if holder = side then (free, of_bool "unlock" true) else (holder, of_bool "unlock" false));
      };
    ]
  in
  check "mutex" rounds ~create:T.Mutex.create ~model:free (fun random side ->
      pick random (calls side))

let promise rounds =
  let fulfil n =
    {
      make = (fun p -> of_bool "fulfil" (T.Promise.try_fulfil p n));
      step =
        (function
        | None -> (Some n, of_bool "fulfil" true)
        | given -> (given, of_bool "fulfil" false));
    }
  in
  let peek =
    let text = function None -> "peek" | Some n -> of_int "peek" n in
    { make = (fun p -> text (T.Promise.peek p)); step = (fun given -> (given, text given)) }
  in
  check "promise" rounds ~create:T.Promise.create ~model:None (fun random side ->
      pick random [ fulfil side; peek; peek ])

let all rounds =
  List.iter (fun check -> check rounds) [ stream 1; stream 2; semaphore; mutex; promise ]
