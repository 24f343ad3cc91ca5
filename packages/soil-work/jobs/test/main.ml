(* Queues in virtual time on a store in memory, which fails or stops before or after any write, and
   on [Soil.Kv]. *)

module T = Soil.Task
module J = Soil_jobs
module Clock = Soil.Clock

let int = Alcotest.(check int)
let bool = Alcotest.(check bool)
let strings = Alcotest.(check (list string))
let test name f = Alcotest.test_case name `Quick (fun () -> Soil.Virtual_clock.run f)

(* The store *)

type outcome = Succeed | Fail_before | Fail_after | Stop_before | Stop_after

exception Stopped

type fake = {
  values : (string, string) Hashtbl.t;
  mutable writes : int;
  mutable outcome : int -> outcome;  (** Of the write of this number. *)
  mutable is_stopped : bool;
}

let fake () =
  { values = Hashtbl.create 16; writes = 0; outcome = (fun _ -> Succeed); is_stopped = false }

let refuse () = Soil.Error.fail Io "fake store"

let write fake change =
  if fake.is_stopped then raise Stopped;
  fake.writes <- fake.writes + 1;
  let outcome = fake.outcome fake.writes in
  Clock.sleep 0.01;
  if fake.is_stopped then raise Stopped;
  if outcome <> Fail_before && outcome <> Stop_before then change ();
  match outcome with
  | Succeed -> ()
  | Fail_before | Fail_after -> refuse ()
  | Stop_before | Stop_after ->
      fake.is_stopped <- true;
      raise Stopped

let store fake =
  {
    J.set = (fun name value -> write fake (fun () -> Hashtbl.replace fake.values name value));
    remove = (fun name -> write fake (fun () -> Hashtbl.remove fake.values name));
    get =
      (fun name ->
        match Hashtbl.find_opt fake.values name with
        | Some value -> value
        | None -> Soil.Error.fail Not_found "fake store");
    list = (fun () -> List.of_seq (Hashtbl.to_seq_keys fake.values));
  }

let limits =
  {
    J.default_limits with
    jobs = 10;
    attempts = 3;
    backoff = { first = 1.; most = 4.; jitter = 0. };
    key_seconds = 100.;
  }

let queue ?(limits = limits) () =
  let fake = fake () in
  (fake, J.load ~limits (store fake))

let reload fake =
  fake.is_stopped <- false;
  fake.outcome <- (fun _ -> Succeed);
  J.load ~limits (store fake)

let work ?workers ?grace ?(on_error = ignore) ?(seconds = 1000.) t f =
  ignore (T.timeout_opt seconds (fun () -> J.work ?workers ?grace ~on_error t f))

let code f = match f () with _ -> None | exception Soil.Error { code; _ } -> Some code
let is (expected : Soil.Error.code) f = bool "its code" true (code f = Some expected)

(* Clocks that are wrong *)

let year = 365.2425 *. 86_400.
let in_year n f = Soil.Virtual_clock.run ~now:(float (n - 1970) *. year) f

(* The payloads of the jobs that run in this time. *)
let runs t seconds =
  let found = ref [] in
  work ~seconds t (fun job -> found := job.payload :: !found);
  List.rev !found

let written_in_the_future () =
  let fake =
    in_year 2069 @@ fun () ->
    let fake, t = queue () in
    ignore (J.enqueue ~key:"k" t "key");
    strings "done" [ "key" ] (runs t 10.);
    ignore (J.enqueue ~delay:50. t "delayed");
    ignore (J.enqueue t "now");
    fake
  in
  in_year 2026 @@ fun () ->
  let t = reload fake in
  strings "at once" [ "now" ] (runs t 49.);
  strings "after its delay" [ "delayed" ] (runs t 2.);
  bool "the key is known" true (J.state t (J.enqueue ~key:"k" t "again") = Some Done);
  Clock.sleep 60.;
  bool "and ends" true (J.state t (J.enqueue ~key:"k" t "again") = Some Waiting);
  strings "again" [ "again" ] (runs t 1.)

(* Of an attempt that was running, and of one that has failed. *)
let attempts_in_the_future () =
  let fake =
    in_year 2069 @@ fun () ->
    let fake, t = queue () in
    ignore (J.enqueue ~delay:500. t "running");
    Clock.sleep 500.;
    ignore (J.enqueue ~priority:1 t "failed");
    (* After the first attempt of one, and its failure, the beginning of the other. *)
    let last = fake.writes + 3 in
    fake.outcome <- (fun n -> if n = last then Stop_after else Succeed);
    (match work ~workers:1 ~seconds:0.5 t (fun _ -> failwith "bad") with
    | () -> ()
    | exception Stopped -> ());
    bool "stopped" true fake.is_stopped;
    fake
  in
  in_year 2026 @@ fun () -> strings "both" [ "running"; "failed" ] (runs (reload fake) 5.)

let steps_back () =
  let _, t = in_year 2069 (fun () -> queue ()) in
  in_year 2069 (fun () ->
      ignore (J.enqueue ~delay:50. t "delayed");
      ignore (J.enqueue ~key:"k" t "key");
      strings "done" [ "key" ] (runs t 10.));
  in_year 2026 @@ fun () ->
  strings "not yet" [] (runs t 39.);
  strings "after its delay" [ "delayed" ] (runs t 2.);
  Clock.sleep 60.;
  bool "the key ends" true (J.state t (J.enqueue ~key:"k" t "again") = Some Waiting)

let steps_forward () =
  let _, t = in_year 2026 (fun () -> queue ()) in
  in_year 2026 (fun () ->
      ignore (J.enqueue ~delay:5000. t "delayed");
      ignore (J.enqueue ~key:"k" t "key");
      strings "done" [ "key" ] (runs t 10.));
  in_year 2027 @@ fun () ->
  strings "within a minute" [ "delayed" ] (runs t 61.);
  bool "the key has ended" true (J.state t (J.enqueue ~key:"k" t "again") = Some Waiting)

(* A clock that isn't set yet ends no delay: the records were right. *)
let not_yet_set () =
  let fake =
    in_year 2026 @@ fun () ->
    let fake, t = queue () in
    ignore (J.enqueue ~delay:500. t "delayed");
    fake
  in
  let t =
    in_year 1971 @@ fun () ->
    let t = reload fake in
    strings "not set" [] (runs t 100.);
    t
  in
  in_year 2026 @@ fun () ->
  strings "set" [] (runs t 399.);
  strings "in time" [ "delayed" ] (runs t 102.)

let restarts () =
  let fake =
    in_year 2069 @@ fun () ->
    let fake, t = queue () in
    ignore (J.enqueue ~delay:1000. t "delayed");
    fake
  in
  in_year 2026 @@ fun () ->
  strings "700 s" [] (runs (reload fake) 700.);
  strings "after 300 s more" [ "delayed" ] (runs (reload fake) 301.)

let first_form () =
  let fake = fake () in
  let id = String.make 24 '0' in
  let due = int_of_float (Clock.now () +. 50.) in
  Hashtbl.replace fake.values id (Printf.sprintf "job1 waiting 0 0 %d000000 1 0\nkpayload" due);
  let t = reload fake in
  strings "early" [] (runs t 49.);
  bool "its key" true ((J.enqueue ~key:"k" t "" :> string) = id);
  strings "in time" [ "payload" ] (runs t 2.)

(* Cases *)

let order () =
  let _, t = queue () in
  let add ?priority ?delay name = ignore (J.enqueue ?priority ?delay t name) in
  add "a";
  add ~delay:50. "late";
  add "b";
  add ~priority:1 "urgent";
  add ~priority:(-1) "idle";
  let done_ = ref [] in
  work ~workers:1 t (fun job ->
      done_ := job.payload :: !done_;
      Clock.sleep 1.);
  strings "by priority and time" [ "urgent"; "a"; "b"; "idle"; "late" ] (List.rev !done_);
  let s = J.statistics t in
  int "finished" 5 s.finished;
  int "none left" 0 (s.queued + s.delayed + s.running + s.dead + s.keys)

let retries () =
  let fake, t = queue () in
  let id = J.enqueue ~key:"k" t "bad" in
  let start = Clock.monotonic () and times = ref [] in
  let fail (job : J.job) =
    int "attempt" (List.length !times + 1) job.attempt;
    times := Float.to_int (Clock.monotonic () -. start) :: !times;
    failwith (String.make 2000 'x')
  in
  work t fail;
  Alcotest.(check (list int)) "times" [ 0; 1; 3 ] (List.rev !times);
  let check t =
    match J.dead t with
    | [ { job; error; _ } ] ->
        bool "id" true (job.id = id);
        strings "payload" [ "bad" ] [ job.payload ];
        int "attempts" 3 job.attempt;
        int "a cut error" 1000 (String.length error)
    | _ -> Alcotest.fail "not one dead letter"
  in
  check t;
  check (reload fake);
  bool "the same job" true (J.enqueue ~key:"k" t "again" = id);
  int "behind it" 0 (List.length (J.dead ~after:id t));
  bool "retried" true (J.retry t id);
  bool "not twice" false (J.retry t id);
  work ~seconds:10. t ignore;
  bool "done" true (J.state t id = Some Done);
  int "finished" 1 (J.statistics t).finished;
  int "failures" 3 (J.statistics t).failures;
  let id = J.enqueue ~key:"d" t "deleted" in
  bool "deleted" true (J.delete t id);
  bool "its key, too" true (J.enqueue ~key:"d" t "deleted" <> id)

let keys () =
  let fake, t = queue () in
  let a, b =
    T.both
      (fun () ->
        let id = J.enqueue ~key:"k" t "first" in
        int "durable" 1 fake.writes;
        id)
      (fun () ->
        let id = J.enqueue ~key:"k" t "second" in
        int "waited" 1 (Hashtbl.length fake.values);
        id)
  in
  bool "one job" true (a = b);
  int "one write" 1 fake.writes;
  work ~seconds:10. t (fun job -> strings "payload" [ "first" ] [ job.payload ]);
  bool "after its end" true (J.enqueue ~key:"k" (reload fake) "third" = a);
  bool "the tombstone" true (J.enqueue ~key:"k" t "third" = a);
  int "one key" 1 (J.statistics t).keys;
  Clock.sleep 100.;
  let c = J.enqueue ~key:"k" t "fourth" in
  bool "after its time" true (c <> a);
  work ~seconds:10. t ignore;
  int "no record of the first" 1 (Hashtbl.length fake.values)

let failed_enqueue outcome () =
  let fake, t = queue () in
  fake.outcome <- (fun n -> if n = 1 then outcome else Succeed);
  is Io (fun () -> ignore (J.enqueue ~key:"k" t "a"));
  let ran = ref 0 in
  work ~seconds:10. t (fun _ -> incr ran);
  int "doesn't run" 0 !ran;
  let known = List.of_seq (Hashtbl.to_seq_keys fake.values) in
  let id = J.enqueue ~key:"k" t "a" in
  int "one record" 1 (Hashtbl.length fake.values);
  if known <> [] then strings "the same id" known [ (id :> string) ];
  work ~seconds:10. t (fun _ -> incr ran);
  int "runs" 1 !ran;
  fake.outcome <- (fun _ -> outcome);
  is Io (fun () -> J.enqueue t "without a key");
  fake.outcome <- (fun _ -> Succeed);
  work ~seconds:200. t (fun _ -> incr ran);
  int "removed" 0 (Hashtbl.length fake.values);
  int "doesn't run either" 1 !ran

let bounds () =
  let _, t = queue () in
  for i = 1 to 10 do
    ignore (J.enqueue ~key:(string_of_int i) t "")
  done;
  is Busy (fun () -> J.enqueue t "");
  ignore (J.enqueue ~key:"1" t "");
  work ~seconds:10. t ignore;
  is Busy (fun () -> J.enqueue t "");
  Clock.sleep 100.;
  ignore (J.enqueue t "");
  is Too_large (fun () -> J.enqueue t (String.make 65_537 ' '));
  is Too_large (fun () -> J.enqueue ~key:(String.make 257 ' ') t "")

(* A store that refuses writes for a while: what is done isn't run again. *)
let refused_writes () =
  let fake, t = queue () in
  ignore (J.enqueue t "a");
  let ran = ref 0 in
  let refuse = ref false in
  fake.outcome <- (fun _ -> if !refuse then Fail_before else Succeed);
  let restore () =
    Clock.sleep 60.;
    refuse := false
  in
  let run _ =
    incr ran;
    refuse := true
  in
  ignore (T.both restore (fun () -> work ~seconds:200. t run));
  int "once" 1 !ran;
  int "no record" 0 (Hashtbl.length fake.values);
  bool "counted" true ((J.statistics t).store_errors > 1);
  refuse := true;
  fake.outcome <- (fun n -> if n mod 2 = 0 then Fail_after else Fail_before);
  let failed = code (fun () -> J.enqueue t "b") in
  bool "refused" true (failed = Some Soil.Error.Io);
  fake.outcome <- (fun _ -> Succeed);
  ignore (J.enqueue t "c");
  fake.outcome <- (fun _ -> Fail_before);
  let on_error e = raise (Soil.Error e) in
  is Io (fun () -> J.work ~on_error t ignore)

let stop () =
  let fake, t = queue () in
  let id name = J.enqueue t name in
  let short = id "short" and long = id "long" and other = id "other" in
  let run (job : J.job) = Clock.sleep (if job.payload = "short" then 5. else 100.) in
  let start = Clock.monotonic () in
  work ~workers:2 ~seconds:3. ~grace:4. t run;
  bool "after the grace" true (Clock.monotonic () -. start < 8.);
  bool "the short one is done" true (J.state t short = None);
  let check t =
    bool "the long one waits" true (J.state t long = Some Waiting);
    bool "no other is taken" true (J.state t other = Some Waiting);
    let attempts = ref [] in
    work ~seconds:10. t (fun job -> attempts := job.attempt :: !attempts);
    Alcotest.(check (list int)) "attempts" [ 1; 1 ] !attempts
  in
  check (reload { fake with values = Hashtbl.copy fake.values });
  check t

let damage () =
  let fake, t = queue () in
  let id = J.enqueue t "a" in
  Hashtbl.replace fake.values (id :> string) "job1 waiting 0 0 0 5 -1\nxyz";
  let t' = reload fake in
  bool "at load" true (J.state t' id = Some Dead);
  work ~seconds:1. t ignore;
  bool "at a take" true (J.state t id = Some Dead);
  int "listed" 1 (List.length (J.dead t));
  is Corrupt (fun () -> J.retry t id);
  bool "deleted" true (J.delete t id)

(* Stops at each write. [script] keeps what it knows in [known]. *)

type known = {
  mutable acknowledged : (string * J.id) list;
  mutable runs : string list;
  mutable attempts : (string * int) list;
}

let script fake known =
  let t = J.load ~limits (store fake) in
  let add ?key name =
    let id = J.enqueue ?key t name in
    known.acknowledged <- (name, id) :: known.acknowledged
  in
  let run (job : J.job) =
    known.runs <- job.payload :: known.runs;
    known.attempts <- (job.payload, job.attempt) :: known.attempts;
    Clock.sleep 0.5;
    if job.payload = "bad" then failwith "bad"
  in
  add "good";
  add ~key:"k" "keyed";
  add "bad";
  work ~seconds:20. t run

let stopped_at n outcome =
  let fake = fake () and known = { acknowledged = []; runs = []; attempts = [] } in
  fake.outcome <- (fun i -> if i = n then outcome else Succeed);
  (match script fake known with () -> () | exception Stopped -> ());
  let label = Printf.sprintf "write %d: %s" n in
  let before = known.runs in
  let t = reload fake in
  let done_before name =
    match List.assoc_opt name known.acknowledged with
    | None -> false
    | Some id -> ( match J.state t id with None | Some Done -> true | Some _ -> false)
  in
  let finished = List.filter done_before [ "good"; "keyed"; "bad" ] in
  List.iter (fun name -> bool (label "done without a run") true (List.mem name before)) finished;
  let again = ref [] in
  let run (job : J.job) =
    again := job.payload :: !again;
    bool (label "attempts") true (job.attempt <= 3);
    if job.payload = "bad" then failwith "bad"
  in
  work ~seconds:20. t run;
  let lost (name, id) =
    let ended = J.state t id in
    let expected : J.state option =
      match name with "bad" -> Some Dead | "keyed" -> Some Done | _ -> None
    in
    bool (label (name ^ " has ended")) true (ended = expected);
    if name <> "bad" then bool (label (name ^ " isn't lost")) true (List.mem name (before @ !again))
  in
  List.iter lost known.acknowledged;
  List.iter
    (fun name -> bool (label (name ^ " isn't repeated")) false (List.mem name !again))
    finished;
  let count = List.length (List.filter (( = ) "bad") (before @ !again)) in
  bool (label "at most 3 attempts") true (count <= 3);
  match List.assoc_opt "keyed" known.acknowledged with
  | Some id -> bool (label "the key") true (J.enqueue ~key:"k" t "" = id)
  | None -> ()

let stops () =
  let fake = fake () in
  script fake { acknowledged = []; runs = []; attempts = [] };
  let writes = fake.writes in
  bool "writes" true (writes > 10);
  for n = 1 to writes do
    stopped_at n Stop_before;
    stopped_at n Stop_after
  done

(* A job that ends the process in each attempt. *)
let killer () =
  let fake, t = queue () in
  let id = J.enqueue t "killer" in
  let attempts = ref 0 in
  let kill _ =
    incr attempts;
    fake.is_stopped <- true;
    raise Stopped
  in
  let rec live t n =
    if n = 0 then t
    else (
      (match work ~seconds:10. t kill with () -> () | exception Stopped -> ());
      live (reload fake) (n - 1))
  in
  let t = live t 5 in
  int "attempts" 3 !attempts;
  match J.dead t with
  | [ { job; error; _ } ] ->
      bool "its id" true (job.id = id);
      strings "error" [ "the process ended during the last attempt" ] [ error ]
  | _ -> Alcotest.fail "not one dead letter"

(* A model: what is acknowledged, what has run, by key and by id, in random steps with random
   failures and stops of the store. *)

type step =
  | Add of int option * int  (** Key and priority. *)
  | Work of float * int  (** Every so manieth run fails. *)
  | Sleep of float
  | Retry
  | Delete
  | Restart
  | Faults of int * outcome  (** From now on every so manieth write. *)

let any_step =
  let open QCheck2.Gen in
  let outcome = oneofl [ Succeed; Fail_before; Fail_after; Stop_before; Stop_after ] in
  frequency
    [
      (6, map2 (fun k p -> Add (k, p)) (option (int_range 0 3)) (int_range (-1) 1));
      (4, map2 (fun s n -> Work (Float.of_int s, n)) (int_range 1 20) (int_range 2 4));
      (1, map (fun s -> Sleep (Float.of_int s)) (int_range 1 120));
      (1, return Retry);
      (1, return Delete);
      (1, return Restart);
      (2, map2 (fun n o -> Faults (n, o)) (int_range 3 8) outcome);
    ]

type model = {
  fake : fake;
  mutable t : J.t;
  mutable next : int;
  mutable live : (string * J.id) list;  (** Acknowledged, by payload, and not deleted. *)
  mutable over : string list;  (** Seen as done after a restart or without one. *)
  ran : (string, unit) Hashtbl.t;
}

let restart m = m.t <- reload m.fake

let survive m f =
  match f () with
  | () -> ()
  | exception Stopped -> restart m
  | exception Soil.Error { code = Io; _ } -> ()

let observe m =
  List.iter
    (fun (name, id) ->
      match J.state m.t id with
      | None | Some Done ->
          if not (Hashtbl.mem m.ran (id :> string)) then QCheck2.Test.fail_reportf "%s is lost" name;
          if not (List.mem (id :> string) m.over) then m.over <- (id :> string) :: m.over
      | Some (Waiting | Running | Dead) -> ())
    m.live

let add m key priority =
  let name = Printf.sprintf "%d" m.next in
  m.next <- m.next + 1;
  let key = Option.map string_of_int key in
  match J.enqueue ?key ~priority m.t name with
  | id ->
      if not (List.exists (fun (_, known) -> known = id) m.live) then m.live <- (name, id) :: m.live
  | exception Soil.Error { code = Busy; _ } -> ()

let run m every (job : J.job) =
  if job.attempt > 3 then QCheck2.Test.fail_report "a fourth attempt";
  if List.mem (job.id :> string) m.over then QCheck2.Test.fail_reportf "%s runs again" job.payload;
  Clock.sleep 0.3;
  if int_of_string job.payload mod every = 0 then failwith "fails";
  Hashtbl.replace m.ran (job.id :> string) ()

let step m = function
  | Add (key, priority) -> add m key priority
  | Work (seconds, every) -> work ~workers:2 ~seconds ~grace:0.2 m.t (run m every)
  | Sleep seconds -> Clock.sleep seconds
  | Retry -> List.iter (fun (l : J.letter) -> ignore (J.retry m.t l.job.id)) (J.dead m.t)
  | Delete ->
      let delete (l : J.letter) =
        m.live <- List.filter (fun (_, id) -> id <> l.job.id) m.live;
        ignore (J.delete m.t l.job.id)
      in
      List.iter delete (J.dead m.t)
  | Restart -> restart m
  | Faults (n, outcome) -> m.fake.outcome <- (fun i -> if i mod n = 0 then outcome else Succeed)

let consistent m =
  let s = J.statistics m.t in
  let sum = s.queued + s.delayed + s.dead + s.keys in
  if s.running <> 0 then QCheck2.Test.fail_report "a job runs without a worker";
  if sum > limits.jobs then QCheck2.Test.fail_reportf "%d jobs" sum

let model steps =
  Soil.Virtual_clock.run @@ fun () ->
  let fake, t = queue () in
  let m = { fake; t; next = 1; live = []; over = []; ran = Hashtbl.create 16 } in
  List.iter
    (fun s ->
      survive m (fun () -> step m s);
      observe m;
      consistent m)
    steps;
  restart m;
  observe m;
  work ~seconds:50. m.t (run m max_int);
  observe m;
  List.iter
    (fun (name, id) ->
      match J.state m.t id with
      | None | Some (Done | Dead) -> ()
      | Some (Waiting | Running) -> QCheck2.Test.fail_reportf "%s hasn't run" name)
    m.live;
  true

let model_case =
  let cell =
    QCheck2.Test.make ~count:1000 ~name:"model"
      QCheck2.Gen.(list_size (int_range 1 40) any_step)
      model
  in
  Alcotest.test_case "model" `Quick (fun () ->
      QCheck2.Test.check_exn ~rand:(Random.State.make [| 7 |]) cell)

let metrics () =
  let _, t = queue () in
  let registry = Soil_metrics.registry () in
  Soil_jobs_metrics.register ~registry ~name:"mails" t;
  ignore (J.enqueue t "a");
  Clock.sleep 5.;
  let text = Soil_metrics.to_string ~registry Prometheus in
  let lines = String.split_on_char '\n' text in
  let has line = bool line true (List.mem line lines) in
  has "mails_jobs{state=\"queued\"} 1";
  has "mails_enqueued_total 1";
  bool "oldest" true ((J.statistics t).oldest_seconds >= 5.)

let real_store () =
  Soil.run @@ fun () ->
  Soil.Fs.with_mount "memory:4M" "/kv" @@ fun () ->
  let connect () =
    match Soil.Kv.connect "/kv/jobs" with
    | Ok kv -> J.kv kv (Soil.Kv.Key.v "/queue")
    | Error e -> failwith (Soil.Kv.error_to_string e)
  in
  let t = J.load (connect ()) in
  let id = J.enqueue ~key:"k" t "payload\n" in
  let gone = J.enqueue t "gone" in
  let t = J.load (connect ()) in
  bool "loaded" true (J.state t id = Some Waiting);
  let payloads = ref [] in
  ignore
    (T.timeout_opt 30. (fun () ->
         T.first
           [
             (fun () -> J.work t (fun job -> payloads := job.payload :: !payloads));
             (fun () ->
               while (J.statistics t).finished < 2 do
                 Clock.sleep 0.01
               done);
           ]));
  strings "run" [ "gone"; "payload\n" ] (List.sort compare !payloads);
  let t = J.load (connect ()) in
  bool "its key" true (J.enqueue ~key:"k" t "" = id);
  bool "no other" true (J.state t gone = None)

let () =
  Alcotest.run "soil-work.jobs"
    [
      ( "cases",
        [
          test "order" order;
          test "retries and dead letters" retries;
          test "keys" keys;
          test "an enqueue fails before the write" (failed_enqueue Fail_before);
          test "an enqueue fails after the write" (failed_enqueue Fail_after);
          test "bounds" bounds;
          test "refused writes" refused_writes;
          test "stop" stop;
          test "damage" damage;
          test "metrics" metrics;
        ] );
      ( "wrong clocks",
        [
          test "jobs and keys of the future" written_in_the_future;
          test "attempts of the future" attempts_in_the_future;
          test "a step back" steps_back;
          test "a step forward" steps_forward;
          test "a clock that isn't set yet" not_yet_set;
          test "restarts" restarts;
          test "the first form of records" first_form;
        ] );
      ( "stops",
        [ test "at each write" stops; test "a job that ends the process" killer; model_case ] );
      ("store", [ Alcotest.test_case "Soil.Kv" `Quick real_store ]);
    ]
