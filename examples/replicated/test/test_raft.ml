open Replicated
open Cluster

let leader_of t = match leader t with Some id -> id | None -> Alcotest.fail "there is no leader"

let started ?(voters = 3) ?(count = voters) seed =
  let t = create ~seed ~voters count in
  run t 2.;
  t

let commands t id = List.rev_map snd t.servers.(id).applied
let check_commands t id expected = Alcotest.(check (list string)) "applied" expected (commands t id)
let raft t id = Option.get t.servers.(id).raft

let one_leader () =
  let t = started 1 in
  let id = leader_of t in
  let term = (raft t id).term in
  run t 5.;
  Alcotest.(check (pair int int)) "leader and term" (id, term) (leader_of t, (raft t id).term)

let replicates () =
  let t = started 2 in
  let id = leader_of t in
  List.iter (fun s -> ignore (propose t id s)) [ "a"; "b"; "c" ];
  run t 1.;
  List.iter (fun id -> check_commands t id [ "a"; "b"; "c" ]) [ 0; 1; 2 ]

let isolated_leader_steps_down () =
  let t = started 3 in
  let id = leader_of t in
  isolate t id;
  let read_there = read t id in
  ignore (propose t id "lost");
  run t 2.;
  let other = leader_of t in
  Alcotest.(check bool) "another leader" true (other <> id);
  (match answer t read_there with
  | Some (Not_leader _) -> ()
  | _ -> Alcotest.fail "the isolated leader answers a read");
  ignore (propose t other "kept");
  heal t;
  run t 2.;
  List.iter (fun id -> check_commands t id [ "kept" ]) [ 0; 1; 2 ]

let returning_follower_deposes_nobody () =
  let t = started 4 in
  let id = leader_of t in
  let other = (id + 1) mod 3 in
  let term = (raft t id).term in
  isolate t other;
  run t 5.;
  heal t;
  run t 2.;
  Alcotest.(check (pair int int)) "leader and term" (id, term) (leader_of t, (raft t id).term)

let restart_keeps_everything () =
  let t = started 5 in
  ignore (propose t (leader_of t) "a");
  run t 1.;
  List.iter (crash t) [ 0; 1; 2 ];
  List.iter (restart t) [ 0; 1; 2 ];
  run t 2.;
  List.iter (fun id -> check_commands t id [ "a" ]) [ 0; 1; 2 ]

let restart_keeps_vote () =
  let t = create ~seed:10 ~voters:3 3 in
  let ask from =
    step t t.servers.(0)
      [ Received (from, Vote_request { pre = false; term = 1; last_index = 0; last_term = 0 }) ]
  in
  ask 1;
  crash t 0;
  restart t 0;
  ask 2;
  Alcotest.(check (option int)) "vote" (Some 1) (raft t 0).vote

(* Figure 3.7 of the thesis. *)
let earlier_terms_commit_with_own_entry () =
  let log = Log.append (Log.create ~base:0 ~base_term:0) { term = 2; payload = Command "a" } in
  let snapshot : Message.snapshot = { index = 0; term = 0; configuration = members [ 0; 1; 2 ] } in
  let raft = Raft.create ~id:0 ~seed:1 ~now:0. ~term:3 ~vote:None ~snapshot log in
  let step raft m = fst (Raft.step raft ~now:1. [ Received (1, m); Flushed ]) in
  let accepted index : Message.t =
    Append_response { term = 4; round = 1; prev_index = index - 1; outcome = Accepted index }
  in
  let raft = fst (Raft.step raft ~now:1. []) in
  let raft = step raft (Vote_response { pre = true; term = 4; granted = true }) in
  let raft = step raft (Vote_response { pre = false; term = 4; granted = true }) in
  let raft = step raft (accepted 1) in
  Alcotest.(check int) "on a majority" 0 raft.commit;
  let raft = step raft (accepted 2) in
  Alcotest.(check int) "with the next one" 2 raft.commit

let installs_snapshots () =
  let t = started 6 in
  let id = leader_of t in
  let other = (id + 1) mod 3 in
  isolate t other;
  let expected = List.init 50 string_of_int in
  List.iter (fun s -> ignore (propose t id s)) expected;
  run t 1.;
  compact t id;
  heal t;
  run t 2.;
  check_commands t other expected;
  Alcotest.(check bool) "a snapshot" true ((raft t other).snapshot.index > 0)

(* Entries that one step commits before a snapshot comes are in the snapshot. *)
let snapshot_replaces_commits () =
  let configuration = members [ 0; 1; 2 ] in
  let snapshot : Message.snapshot = { index = 0; term = 0; configuration } in
  let entry : Message.entry = { term = 1; payload = Command "a" } in
  let log = Log.append (Log.create ~base:0 ~base_term:0) entry in
  let raft = Raft.create ~id:0 ~seed:1 ~now:0. ~term:1 ~vote:None ~snapshot log in
  let heartbeat : Message.t =
    Append_request { term = 1; round = 1; prev_index = 1; prev_term = 1; entries = []; commit = 1 }
  and last_part : Message.t =
    let snapshot : Message.snapshot = { index = 5; term = 1; configuration } in
    Snapshot_request { term = 1; round = 1; snapshot; offset = 0; total = 1; chunk = "x" }
  in
  let _, actions = Raft.step raft ~now:1. [ Received (1, heartbeat); Received (1, last_part) ] in
  let installs = function State.Install _ -> true | _ -> false
  and commits = function State.Commit _ -> true | _ -> false in
  Alcotest.(check bool) "installs" true (List.exists installs actions);
  Alcotest.(check bool) "commits" false (List.exists commits actions)

let reads_see_commands () =
  let t = started 7 in
  let id = leader_of t in
  ignore (propose t id "a");
  let token = read t id in
  Alcotest.(check bool) "not before a round" true (answer t token = None);
  run t 1.;
  Alcotest.(check bool) "then" true (answer t token = Some (Read_ready token))

let members_change () =
  let t = started ~voters:1 ~count:4 8 in
  let id = leader_of t in
  List.iter
    (fun new_id ->
      let token = change t id (Add { id = new_id; address = address new_id }) in
      run t 1.;
      match answer t token with
      | Some (Proposed _) -> ()
      | _ -> Alcotest.fail "the change is refused")
    [ 1; 2; 3 ];
  Alcotest.(check (list int)) "voters" [ 0; 1; 2; 3 ] (State.voters (raft t id));
  ignore (change t id (Remove id));
  (match answer t (change t id (Remove 1)) with
  | Some (Refused _) -> ()
  | _ -> Alcotest.fail "two changes at once");
  run t 3.;
  let other = leader_of t in
  Alcotest.(check bool) "the removed leader has left" true (other <> id);
  Alcotest.(check (list int)) "voters" [ 1; 2; 3 ] (State.voters (raft t other))

let learners_have_no_vote () =
  let t = started ~voters:2 ~count:3 9 in
  let id = leader_of t in
  isolate t 2;
  ignore (change t id (Add { id = 2; address = address 2 }));
  run t 1.;
  let without id other = other = id || other = 2 in
  Alcotest.(check bool) "majority" false (State.majority (raft t id) (without id));
  let index other = if without id other then 9 else 5 in
  Alcotest.(check int) "agreed" 5 (State.agreed (raft t id) index)

(* Faults at random, and then a quiet time after which all servers agree. *)
let chaos seed =
  let t = create ~seed ~voters:3 5 in
  let rng = Random.State.make [| seed; 1 |] in
  let any () = Random.State.int rng 5 in
  let fault () =
    match Random.State.int rng 14 with
    | 0 -> isolate t (any ())
    | 1 -> t.cut <- (any (), any ()) :: t.cut
    | 2 | 3 -> heal t
    | 4 -> crash t (any ())
    | 5 | 6 -> restart t (any ())
    | 7 -> compact t (any ())
    | 8 ->
        let id = any () in
        Option.iter (fun l -> ignore (change t l (Add { id; address = address id }))) (leader t)
    | 9 -> Option.iter (fun l -> ignore (change t l (Remove (any ())))) (leader t)
    | 10 | 11 ->
        let id = any () in
        crash t id;
        restart t id
    | _ -> Array.iter (fun s -> restart t s.id) t.servers
  in
  t.loss <- Random.State.float rng 0.2;
  t.late <- Random.State.float rng 0.3;
  for i = 1 to 300 do
    if Random.State.int rng 4 = 0 then fault ();
    let id = any () in
    ignore (propose t id (string_of_int i));
    ignore (read t (any ()));
    run t (Random.State.float rng 0.1)
  done;
  heal t;
  t.loss <- 0.;
  t.late <- 0.;
  Array.iter (fun s -> restart t s.id) t.servers;
  run t 10.;
  let id = leader_of t in
  ignore (propose t id "last");
  run t 2.;
  let expected = commands t id in
  Alcotest.(check (option string))
    "the last command" (Some "last")
    (List.nth_opt (List.rev expected) 0);
  List.iter (fun (m : Message.member) -> check_commands t m.id expected) (raft t id).configuration

let survives_faults () =
  for seed = 1 to 300 do
    try chaos seed
    with e -> Alcotest.fail (Printf.sprintf "seed %d: %s" seed (Printexc.to_string e))
  done

let () =
  let case name f = Alcotest.test_case name `Quick f in
  Alcotest.run "replicated"
    [
      ( "raft",
        [
          case "elects one leader" one_leader;
          case "replicates commands in order" replicates;
          case "an isolated leader steps down" isolated_leader_steps_down;
          case "a follower that returns deposes no leader" returning_follower_deposes_nobody;
          case "a restart keeps term, vote and log" restart_keeps_everything;
          case "a restart keeps the vote" restart_keeps_vote;
          case "entries of earlier terms commit with one of the leader's"
            earlier_terms_commit_with_own_entry;
          case "a late follower gets a snapshot" installs_snapshots;
          case "a snapshot replaces what the same step commits" snapshot_replaces_commits;
          case "a read waits for a round of heartbeats" reads_see_commands;
          case "members change one at a time" members_change;
          case "a learner has no vote" learners_have_no_vote;
          case "stays safe under faults" survives_faults;
        ] );
    ]
