(* Supervisors of each rule, with children that crash, hang and ignore a stop. Each node says what
   its children and its supervisors do, and a model of the documented rules follows it. *)

module Supervisor = Soil.Supervisor
module Faults = Soil_sim.Faults
module World = Soil_sim.World

let limit = { Supervisor.restarts = 8; within = 12. }
let group_limit = { Supervisor.restarts = 2; within = 6. }
let backoff = { Supervisor.first = 0.1; most = 2.; jitter = 0.5 }
let start_within = 1.
let stop_within = 0.5

(* The program *)

let say format = Printf.ksprintf (Printf.printf "@ %.6f %s\n%!" (Soil.Clock.monotonic ())) format
let random seconds = float (Soil.Random.int 1_000_000) *. seconds /. 1e6
let one_in n = Soil.Random.int n = 0

let reason = function
  | Supervisor.Returned -> "returned"
  | Failed _ -> "failed"
  | Late -> "late"
  | Stopped -> "stopped"

let report path (h : Supervisor.health) =
  match (h.state, h.last) with
  | Starting, _ -> say "%s starting" path
  | Ready, _ -> say "%s ready" path
  | Stopping, _ -> say "%s stopping" path
  | Overdue, _ -> say "%s overdue" path
  | Waiting at, Some last -> say "%s waiting %s %.6f" path (reason last) at
  | Waiting at, None -> say "%s waiting none %.6f" path at
  | Ended last, _ -> say "%s ended %s" path (reason last)

let child ?restart ?run ?(start = ignore) s path =
  let run = Option.map (fun run () -> run path) run in
  let start scope =
    say "%s begins" path;
    Soil.Task.on_release scope (fun () -> say "%s released" path);
    start ()
  in
  ignore (Supervisor.add ?restart ~start_within ~stop_within ?run s (Filename.basename path) start)

let crash path =
  say "%s ends" path;
  failwith "a crash"

let works seconds path =
  Soil.Clock.sleep (random seconds);
  if one_in 3 then say "%s ends" path else crash path

(* It doesn't end within its time limit, most of the time. *)
let rec ignores_stops path =
  Soil.Task.protect (fun () -> Soil.Clock.sleep (random 2.));
  Soil.Task.check ();
  if one_in 12 then crash path;
  ignores_stops path

let hangs_at_times () = Soil.Clock.sleep (if one_in 8 then infinity else random 0.3)

let children s =
  child s "store";
  child s "slow" ~start:hangs_at_times ~run:(works 20.);
  child s "deaf" ~run:ignores_stops;
  child s "once" ~restart:On_failure ~run:(works 4.);
  let group s =
    child s "group/x" ~run:(works 6.);
    child s "group/y" ~start:hangs_at_times ~run:(works 9.)
  in
  ignore (Supervisor.add_supervisor s "group" ~limit:group_limit ~backoff group);
  child s "busy" ~run:(works 6.)

let service rule () =
  say "boot";
  let rec tick () =
    Soil.Clock.sleep 0.5;
    say "tick";
    tick ()
  in
  Soil.Task.scope @@ fun scope ->
  ignore (Soil.Task.spawn_daemon scope tick);
  match Supervisor.run ~rule ~limit ~backoff ~report children with
  | () -> ()
  | exception e ->
      say (match e with Supervisor.Gave_up _ -> "gave-up" | _ -> "end");
      raise e

(* The model *)

type state = New | Starting | Ready | Stopping | Overdue | Waiting | Ended

type entry = {
  path : string;
  mutable state : state;
  mutable since : float;
      (** By the node's clock, as all times of the model but those with [int]. *)
  mutable lives : bool;  (** Its scope has begun and hasn't been released. *)
  mutable ends : bool;  (** Its work has ended by itself. *)
  mutable renewed : bool;  (** It is to restart for another's sake. *)
  mutable failures : int;  (** In a row. *)
  mutable ready_at : float;
  mutable not_before : float;
}

type supervisor = {
  rule : Supervisor.rule;
  limit : Supervisor.limit;
  entries : entry list;
  mutable failed_at : float list;
  mutable gave_up : bool;
  mutable closing : bool;
  mutable changed : float;
}

let entry path =
  {
    path;
    state = New;
    since = 0.;
    lives = false;
    ends = false;
    renewed = false;
    failures = 0;
    ready_at = infinity;
    not_before = 0.;
  }

let supervisor rule limit paths =
  {
    rule;
    limit;
    entries = List.map entry paths;
    failed_at = [];
    gave_up = false;
    closing = false;
    changed = 0.;
  }

type model = {
  world : Soil_sim.world;
  kind : Supervisor.rule;
  mutable root : supervisor;
  mutable group : supervisor;
  mutable now : float;
  mutable asked : int option;  (** When it was requested to stop. *)
  mutable late_until : int;  (** Its timers are late, because of a fault. *)
  mutable last : string;  (** The last line. *)
}

let new_root rule = supervisor rule limit [ "store"; "slow"; "deaf"; "once"; "group"; "busy" ]
let new_group () = supervisor One group_limit [ "group/x"; "group/y" ]
let slack = 0.01
let is_done e = e.state = Ready || e.state = Ended
let unwinds_or_works e = List.mem e.state [ Starting; Ready; Stopping ]
let is_alive e = unwinds_or_works e || e.state = Overdue

(* The entries before [e], and those after it. *)
let around s e =
  let rec split before = function
    | x :: after when x == e -> (before, after)
    | x :: after -> split (x :: before) after
    | [] -> assert false
  in
  split [] s.entries

let fail m name e why =
  Soil_sim.fail name (Printf.sprintf "%s %s" e.path why ^ "\nafter the line: " ^ m.last)

let is_punctual m = Soil_sim.now m.world > m.late_until

(* How many failures there were within the limit's time, which is [more] longer. *)
let recent m s more =
  List.length (List.filter (fun at -> m.now -. at < s.limit.within +. more) s.failed_at)

let own_end m s e not_before =
  if recent m s (-.slack) >= s.limit.restarts then fail m "limit" e "restarts too often";
  s.failed_at <- m.now :: s.failed_at;
  let steady = m.now -. e.ready_at >= backoff.most in
  e.failures <- (if steady then 1 else e.failures + 1);
  let delay random = Supervisor.delay backoff ~failures:e.failures ~random in
  (* Under [All] and [Rest] it may have to wait longer, for another's sake. *)
  let latest = List.fold_left (fun at e -> max at e.not_before) (m.now +. delay 0.) s.entries in
  if not_before < m.now +. delay 1. -. slack || not_before > latest +. slack then
    fail m "back-off" e (Printf.sprintf "waits until %.6f" not_before)

let lives m e = e.lives || (e.path = "group" && List.exists (fun e -> e.lives) m.group.entries)

let waiting m s e reason not_before =
  if lives m e then fail m "isolation" e "waits, and lives";
  if e.state <> Waiting then
    if e.renewed then e.renewed <- false
    else (
      if reason = "stopped" then fail m "isolation" e "was stopped without a reason";
      own_end m s e not_before;
      let concerned = match s.rule with One -> [] | All -> s.entries | Rest -> snd (around s e) in
      List.iter (fun x -> if x != e && is_alive x then x.renewed <- true) concerned);
  e.not_before <- not_before

let ended m s e reason =
  if lives m e then fail m "isolation" e "has ended, and lives";
  let once = e.path = "once" && reason = "returned" && not e.renewed in
  if not (s.closing || once) then (
    if recent m s slack < s.limit.restarts then fail m "limit" e "ends for ever too early";
    s.gave_up <- true;
    s.closing <- true)

let starting m s e =
  (* A supervisor that is a child hears of its stop after its parent has said so. *)
  let group = List.find (fun e -> e.path = "group") m.root.entries in
  let hears = s == m.group && m.now < group.since +. slack in
  if s.closing && not hears then fail m "order" e "starts while its supervisor stops";
  if m.now < e.not_before -. slack then fail m "back-off" e "starts too early";
  let before, after = around s e in
  if s.rule <> One then (
    if not (List.for_all is_done before) then fail m "order" e "starts before an earlier one";
    if List.exists is_alive after then fail m "order" e "starts while a later one lives");
  e.ends <- false;
  e.renewed <- false;
  e.ready_at <- infinity;
  if e.path = "group" then m.group <- new_group ()

let stopping m s e =
  let late = e.state = Starting && m.now >= e.since +. start_within -. slack in
  let by_itself = if e.path = "group" then m.group.gave_up else e.ends || late in
  if not by_itself then (
    if not (s.closing || e.renewed) then fail m "isolation" e "is stopped without a reason";
    if List.exists unwinds_or_works (snd (around s e)) then
      fail m "order" e "is stopped before a later one");
  if e.path = "group" then m.group.closing <- true

let change m s e state =
  e.state <- state;
  e.since <- m.now;
  s.changed <- m.now

(* What should have happened by now. *)
let check_times m s =
  let check e =
    let late seconds = m.now > e.since +. seconds +. slack in
    match e.state with
    | Starting when e.path <> "group" && late start_within -> fail m "time" e "isn't stopped"
    | Stopping when e.path <> "group" && late stop_within -> fail m "time" e "isn't overdue"
    | Waiting when not s.closing ->
        let at = if s.rule = One then e.not_before else max e.not_before s.changed in
        let waits_for_others =
          s.rule <> One
          && not
               (List.for_all is_done (fst (around s e))
               && not (List.exists (fun e -> is_alive e && e.renewed) s.entries))
        in
        if m.now > at +. slack && not waits_for_others then fail m "back-off" e "isn't started"
    | _ -> ()
  in
  if is_punctual m then List.iter check s.entries

let child_line m path words =
  let s = if String.contains path '/' then m.group else m.root in
  let e = List.find (fun e -> e.path = path) s.entries in
  (* It is stopped for the supervisor's sake from here on, but its line comes first. *)
  if s == m.root && m.asked <> None then s.closing <- true;
  match words with
  | [ "begins" ] ->
      if e.lives then fail m "copies" e "runs twice";
      e.lives <- true
  | [ "released" ] -> e.lives <- false
  | [ "ends" ] -> e.ends <- true
  | [ "starting" ] ->
      starting m s e;
      change m s e Starting
  | [ "ready" ] ->
      e.ready_at <- m.now;
      change m s e Ready
  | [ "stopping" ] ->
      stopping m s e;
      change m s e Stopping
  | [ "overdue" ] ->
      if m.now < e.since +. stop_within -. slack then fail m "time" e "is overdue too early";
      change m s e Overdue
  | [ "waiting"; reason; at ] ->
      waiting m s e reason (float_of_string at);
      change m s e Waiting
  | [ "ended"; reason ] ->
      ended m s e reason;
      change m s e Ended
  | _ -> Soil_sim.fail "line" m.last

let finished m =
  let check e =
    if e.lives || not (e.state = Ended || e.state = New) then fail m "end" e "hasn't ended"
  in
  List.iter check (m.root.entries @ m.group.entries);
  Option.iter
    (fun at ->
      if is_punctual m && Soil_sim.now m.world > max at m.late_until + Soil_sim.seconds 4. then
        Soil_sim.fail "end" "a stop takes too long")
    m.asked

let line m counts text =
  let count name = Hashtbl.replace counts name () in
  match String.split_on_char ' ' text with
  | "@" :: time :: words -> (
      m.last <- text;
      m.now <- float_of_string time;
      match words with
      | [ "boot" ] ->
          m.root <- new_root m.kind;
          m.group <- new_group ();
          (* A request during the start is for this process. *)
          let recent at = Soil_sim.now m.world < at + Soil_sim.seconds 0.01 in
          if not (Option.fold ~none:false ~some:recent m.asked) then m.asked <- None
      | [ "tick" ] ->
          check_times m m.root;
          check_times m m.group
      | [ "gave-up" ] ->
          count "gives up";
          if not m.root.gave_up then Soil_sim.fail "limit" "gives up too early";
          finished m
      | [ "end" ] ->
          count "stops";
          if m.asked = None then Soil_sim.fail "end" "stops without a request";
          if m.root.gave_up then Soil_sim.fail "end" "doesn't raise Gave_up";
          finished m
      | path :: words ->
          List.iter (fun word -> count word) words;
          child_line m path words
      | [] -> ())
  | _ -> ()

let () =
  let second = Soil_sim.seconds 1. in
  Soil_sim.main ~duration:(60 * second) ~calm:(15 * second) @@ fun world ->
  let counts = Hashtbl.create 16 in
  let node (name, rule) =
    let node = Soil_sim.task world ~name ~at_exit:(Restarts second) (service rule) in
    let m =
      {
        world;
        kind = rule;
        root = new_root rule;
        group = new_group ();
        now = 0.;
        asked = None;
        late_until = 0;
        last = "";
      }
    in
    Soil_sim.on_line node (line m counts);
    (node, m)
  in
  let models = List.map node [ ("one", Supervisor.One); ("all", All); ("rest", Rest) ] in
  let nodes = List.map fst models in
  let model name = List.assoc name (List.map (fun (node, m) -> (World.name node, m)) models) in
  (* A fault of one node, of whose beginning and end the model knows. *)
  let known ?(starts = ignore) ?(ends = ignore) fault =
    Faults.make ~name:(Faults.name fault) (fun world rng ->
        let tell (what, undo) =
          let m = model (List.hd (String.split_on_char ' ' what)) in
          starts m;
          let undo () =
            undo ();
            ends m
          in
          (what, undo)
        in
        Option.map tell (Faults.inject fault world rng))
  in
  let late seconds m =
    m.late_until <- max m.late_until (Soil_sim.now world + Soil_sim.seconds seconds)
  in
  let is_asked m = m.asked <- Some (Soil_sim.now world) in
  let every seconds ?lasting fault =
    Soil_sim.every world
      ?lasting:(Option.map Soil_sim.seconds lasting)
      (Soil_sim.seconds seconds) fault
  in
  every 8. ~lasting:1. (Faults.kill_during nodes);
  every 9. ~lasting:3. (known ~starts:is_asked (Faults.stop nodes));
  every 9. ~lasting:2. (known ~starts:(late 0.1) ~ends:(late 0.1) (Faults.pause nodes));
  every 5. (Faults.clock_step nodes);
  every 9. (Faults.clock_drift nodes);
  List.iter
    (fun what -> Soil_sim.sometimes world what (fun () -> Hashtbl.mem counts what))
    [ "gives up"; "stops"; "overdue"; "late" ];
  Soil_sim.finally world (fun () ->
      let check node =
        match Soil_sim.lines node with
        | (at, _) :: _ when Soil_sim.now world - at < 2 * second -> ()
        | _ -> Soil_sim.fail "progress" (World.name node ^ " doesn't run")
      in
      List.iter check nodes)
