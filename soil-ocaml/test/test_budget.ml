(* Soil.Budget, and what Soil.Tcp.serve does without memory. *)
open Check
open Loop
module B = Soil.Budget

let is_refused f = match f () with () -> false | exception e when B.is_refusal e -> true

let with_limit n f =
  let before = B.limit () in
  B.set_limit n;
  Fun.protect ~finally:(fun () -> B.set_limit before) f

let peer f =
  let t = B.create () in
  Fun.protect ~finally:(fun () -> B.release t) (fun () -> f t)

let for_ever () = Soil.Clock.sleep infinity

let counting () =
  with_limit 1000 @@ fun () ->
  let held () = (B.statistics ()).held and refused () = (B.statistics ()).refused in
  let held_before = held () and refused_before = refused () in
  peer (fun t ->
      B.run t (fun () ->
          B.hold 600;
          T.scope (fun s -> T.await (T.spawn s (fun () -> B.hold 100))));
      int "of the peer's tasks" 700 (B.bytes t);
      peer (fun u ->
          bool "too much for now" true (is_refused (fun () -> B.grow ~patience:0.01 u 301));
          bool "too much for ever" true (is_refused (fun () -> B.grow ~patience:60. u 1001));
          B.grow ~patience:0. u 300;
          B.shrink t 100;
          B.shrink_to t 200;
          B.grow ~patience:0. u 500;
          int "all" (held_before + 1000) (held ()));
      int "released" (held_before + 200) (held ()));
  int "all released" held_before (held ());
  int "refusals" (refused_before + 2) (refused ());
  B.hold 5000 (* no peer *)

let in_memory_already () =
  with_limit 1000 @@ fun () ->
  peer @@ fun t ->
  B.grow t 900;
  peer @@ fun u ->
  let held_before = (B.statistics ()).held in
  T.scope (fun s ->
      let waits = T.spawn s (fun () -> B.count u 500) in
      T.yield ();
      int "counts while it waits" (held_before + 500) (B.statistics ()).held;
      bool "nobody else gets room" true (is_refused (fun () -> B.grow ~patience:0. u 1));
      B.release t;
      T.await waits);
  int "has it" 500 (B.bytes u);
  bool "too much" true (is_refused (fun () -> B.count u 1001));
  int "gives it back" 500 (B.bytes u)

let the_last_eighth () =
  with_limit 160_000 @@ fun () ->
  peer @@ fun t ->
  B.grow ~patience:0. t 140_000;
  peer @@ fun u ->
  bool "not for large ones" true (is_refused (fun () -> B.grow ~patience:0. u 16_385));
  B.grow ~patience:0. u 16_384

let room_for_who_waits () =
  with_limit 1000 @@ fun () ->
  peer @@ fun t ->
  B.grow t 900;
  peer @@ fun u ->
  T.scope (fun s ->
      let waits = T.spawn s (fun () -> B.grow ~patience:60. u 900) in
      T.yield ();
      int "waits" 1 (B.statistics ()).waiting;
      B.release t;
      T.await waits);
  int "has it" 900 (B.bytes u)

(* Who are closed for one that needs 500 of 1000 bytes: [holders] by name with their bytes, in the
   order of their last message, and what they do. *)
let closed_for_another holders =
  with_limit 1000 @@ fun () ->
  let closed = ref [] in
  T.scope (fun s ->
      let hold (name, bytes, act) =
        let task () =
          peer @@ fun t ->
          match B.run t (fun () -> B.hold bytes; act t) with
          | () -> ()
          | exception e when B.is_refusal e -> closed := name :: !closed
        in
        ignore (T.spawn_daemon s task);
        T.yield ()
      in
      List.iter hold holders;
      let gets =
        peer @@ fun t -> not (is_refused (fun () -> B.grow t 500))
      in
      if not gets then closed := "the new one" :: !closed);
  List.rev !closed
[@@ocamlformat "disable"]

let waits t = B.awaiting t for_ever

let is_idle t =
  B.idle t;
  waits t

let rec progresses t =
  B.awaiting t (fun () -> Soil.Clock.sleep 0.05);
  B.finished t;
  progresses t

let works _ = for_ever ()

let slowest () =
  let check what expected holders = strings what expected (closed_for_another holders) in
  check "the first that waits" [ "a" ] [ ("a", 500, waits); ("b", 500, waits) ];
  check "as many as are needed" [ "a"; "b" ]
    [ ("a", 300, waits); ("b", 300, waits); ("c", 400, waits) ];
  check "idle ones first" [ "b" ] [ ("a", 500, waits); ("b", 500, is_idle) ];
  check "not one that works" [ "b" ] [ ("a", 500, works); ("b", 500, waits) ];
  check "not one that goes on" [ "b" ] [ ("a", 500, progresses); ("b", 500, waits) ];
  check "the newest" [ "the new one" ] [ ("a", 500, works); ("b", 500, progresses) ]

(* Accepted is one after the other, as there is room. *)
let backlog () =
  let l = listen () in
  let now = ref 0 and most = ref 0 in
  let handler c =
    incr now;
    most := max !most !now;
    Soil.Clock.sleep 0.01;
    D.write_string c "hello";
    decr now
  in
  with_limit 10_000 @@ fun () ->
  T.scope (fun s ->
      let server = T.spawn s (fun () -> Soil.Tcp.serve l handler) in
      let answers = T.all (List.init 10 (fun _ () -> ask (Soil.Tcp.local l))) in
      bool "answers" true (List.for_all (( = ) "hello") answers);
      int "two at once" 2 !most;
      D.close l;
      T.await server);
  (* Also while [serve] waits for room. *)
  let l = listen () in
  B.set_limit 1000;
  T.scope (fun s ->
      let server = T.spawn s (fun () -> Soil.Tcp.serve l ignore) in
      Soil.Clock.sleep 0.01;
      D.close l;
      T.await server)

(* [f] with a server that answers "hello" to a byte, and two clients that send none. *)
let with_two ?max_connections wait f =
  let l = listen () in
  let handler c =
    wait (fun () -> byte c);
    D.write_string c "hello"
  in
  let peers = (B.statistics ()).peers in
  T.scope (fun s ->
      let serve () = Soil.Tcp.serve ?max_connections ~on_error:(fun _ _ -> ()) l handler in
      ignore (T.spawn_daemon s serve);
      let connect () = Soil.Tcp.connect (Soil.Tcp.local l) in
      let first = connect () in
      let second = connect () in
      let rec until_both_wait () =
        if (B.statistics ()).peers < peers + 2 then (
          Soil.Clock.sleep 0.01;
          until_both_wait ())
      in
      until_both_wait ();
      Soil.Clock.sleep 0.05;
      f connect first second);
  D.close l

let answer c =
  match
    D.write_string c "x";
    D.read_all c
  with
  | text -> text
  | exception Soil.Error { code = Connection_reset | Broken_pipe; _ } -> "reset"

let evicted () = (B.statistics ()).evicted

(* The first of two goes for a third, and nobody before it comes. *)
let makes_way connect first second =
  let before = evicted () in
  Soil.Clock.sleep 1.5;
  int "nobody goes" before (evicted ());
  string "the third" "hello" (answer (connect ()));
  int "one goes" (before + 1) (evicted ());
  bool "the first" true (List.mem (answer first) [ ""; "reset" ]);
  string "the second" "hello" (answer second)

let quiet_ones () =
  with_limit ((B.statistics ()).held + 10_000) @@ fun () -> with_two (fun wait -> wait ()) makes_way

let idle_ones_of_full_servers () =
  let idle wait =
    let t = Option.get (B.current ()) in
    B.idle t;
    B.awaiting t wait;
    B.finished t
  in
  with_two ~max_connections:2 idle makes_way;
  (* Those of another server stay, and those of which it isn't known that they are idle. *)
  let stay connect first second =
    let before = evicted () in
    let third = connect () in
    Soil.Clock.sleep 1.5;
    int "nobody goes" before (evicted ());
    string "the first" "hello" (answer first);
    string "the third" "hello" (answer third);
    string "the second" "hello" (answer second)
  in
  with_two ~max_connections:4 idle (fun _ _ _ ->
      with_two ~max_connections:2 (fun wait -> wait ()) stay)

let exhausted () =
  let l = listen () in
  let collections () = (B.statistics ()).collections in
  let before = collections () and started = Soil.Clock.monotonic () in
  T.scope (fun s ->
      let turn = ref 0 in
      let handler c =
        incr turn;
        if !turn <= 20 then raise Out_of_memory else D.write_string c "served"
      in
      (* The report needs memory, too, or more of its stack. *)
      let on_error _ _ = raise (if !turn mod 2 = 0 then Out_of_memory else Stack_overflow) in
      let server = T.spawn s (fun () -> Soil.Tcp.serve ~on_error l handler) in
      for _ = 1 to 20 do
        string "exhausted" "" (ask (Soil.Tcp.local l))
      done;
      string "afterwards" "served" (ask (Soil.Tcp.local l));
      D.close l;
      T.await server);
  let seconds = int_of_float (Soil.Clock.monotonic () -. started) in
  bool "collected" true (collections () > before);
  bool "at most once a second" true (collections () - before <= 1 + seconds)

(* Not before a second has passed since the last time. *)
let collects fail =
  let collections () = (B.statistics ()).collections in
  let before = collections () in
  let rec go () =
    fail ();
    if collections () = before then (
      Soil.Clock.sleep 0.1;
      go ())
  in
  go ()

let exhausted_children () =
  collects @@ fun () ->
  let module S = Soil.Supervisor in
  let limit = { S.restarts = 0; within = 1. } in
  let body t = ignore (S.add t "child" (fun _ -> raise Out_of_memory)) in
  match S.run ~limit ~report:(fun _ _ -> ()) body with
  | () -> Alcotest.fail "no failure"
  | exception (S.Gave_up _ | S.Gone _ | T.Cancelled) -> ()

let tests =
  [
    in_run "what peers hold is counted" counting;
    in_run "what is in memory counts while it waits" in_memory_already;
    in_run "the last eighth is for small messages" the_last_eighth;
    in_run "room goes to who waits for it" room_for_who_waits;
    in_run "the slowest are closed" slowest;
    in_run "connections without room wait" backlog;
    in_run "who waits without a word goes last, for one that comes" quiet_ones;
    in_run "the longest idle goes where a server is full" idle_ones_of_full_servers;
    in_run "exhausted memory is collected" exhausted;
    in_run "so it is for children of supervisors" exhausted_children;
  ]
