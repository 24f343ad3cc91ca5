(* Bank, Sets, Queues and Appends. *)
open Soil_sim_checkers
open Histories

let bank ?overdraft reads =
  let one i balances = returned 0 (10 * i) ((10 * i) + 5) Bank.Read (Bank.Balances balances) in
  Bank.check ?overdraft ~accounts:[ ("a", 10); ("b", 5) ] (List.mapi one reads)

let sums () =
  valid "constant" (bank [ [ ("a", 10); ("b", 5) ]; [ ("b", 15); ("a", 0) ] ]);
  invalid_with "half of a transfer"
    [ "1 of 2 reads"; "the sum is 12 instead of 15"; "a=7 b=5" ]
    (bank [ [ ("a", 10); ("b", 5) ]; [ ("a", 7); ("b", 5) ] ]);
  invalid_with "an overdraft" [ "negative" ] (bank [ [ ("a", 16); ("b", -1) ] ]);
  valid "an allowed one" (bank ~overdraft:true [ [ ("a", 16); ("b", -1) ] ]);
  invalid_with "an account is missing" [ "accounts differ" ] (bank [ [ ("a", 15) ] ]);
  undecided "no reads" (bank [])

let correct_banks seed =
  let random = Generate.create seed in
  let accounts = [ ("a", 10); ("b", 10); ("c", 10) ] in
  let name () = fst (Generate.choice random accounts) in
  let operation () =
    if Generate.bool random then Bank.Read
    else Transfer { source = name (); target = name (); amount = Generate.int random 8 }
  in
  let balances = Hashtbl.of_seq (List.to_seq accounts) in
  let move account n = Hashtbl.replace balances account (Hashtbl.find balances account + n) in
  let perform = function
    | Bank.Read -> Bank.Balances (List.of_seq (Hashtbl.to_seq balances))
    | Transfer { source; amount; _ } when Hashtbl.find balances source < amount -> Refused
    | Transfer { source; target; amount } ->
        move source (-amount);
        move target amount;
        Transferred
  in
  let history = execute (plan random ~clients:4 ~count:60 operation) perform in
  match Bank.check ~accounts history with Undecided _ -> true | verdict -> holds verdict

let add client invoked at element = returned client invoked at (Sets.Add element) Sets.Added
let elements client invoked at list = returned client invoked at Sets.Read (Sets.Elements list)

let report name expected history =
  let text { Sets.lost; stale; never_read; duplicated; unexpected } =
    String.concat " | "
      (List.map (String.concat " ") [ lost; stale; never_read; duplicated; unexpected ])
  in
  Alcotest.(check string) name expected (text (Sets.report history))

let sets () =
  let a = add 0 0 10 "a" in
  let check = Sets.check in
  valid "read" (check [ a; elements 1 20 30 [ "a" ] ]);
  valid "not yet" (check [ a; elements 1 5 8 []; elements 1 20 30 [ "a" ] ]);
  report "lost" "a |  |  |  | " [ a; elements 1 5 8 [ "a" ]; elements 1 20 30 [] ];
  invalid_with "lost" [ "1 lost: a" ] (check [ a; elements 1 20 30 [] ]);
  report "known by a read" "a |  |  |  | "
    [ add 0 0 100 "a"; elements 1 5 8 [ "a" ]; elements 1 20 30 [] ];
  let stale = [ a; elements 1 20 30 []; elements 1 40 50 [ "a" ] ] in
  report "stale" " | a |  |  | " stale;
  invalid "stale" (check stale);
  valid "stale reads are allowed" (check ~stale:true stale);
  invalid "the client's own" (check [ a; elements 0 10 20 []; elements 1 30 40 [ "a" ] ]);
  report "never read" " |  | a |  | " [ a; elements 1 5 20 [] ];
  undecided "never read" (check [ a; elements 1 5 20 [] ]);
  valid "one of them" (check [ a; elements 1 20 30 [ "a" ]; add 0 40 50 "b" ]);
  report "twice" " |  |  | a | " [ a; elements 1 20 30 [ "a"; "a" ] ];
  invalid "twice" (check [ a; elements 1 20 30 [ "a"; "a" ] ]);
  report "unexpected" " |  |  |  | z" [ a; elements 1 20 30 [ "a"; "z" ] ];
  invalid "unexpected" (check [ a; elements 1 20 30 [ "a"; "z" ] ]);
  report "too early" " |  |  |  | b"
    [ elements 1 0 5 [ "b" ]; add 0 10 20 "b"; elements 1 30 40 [ "b" ] ];
  report "failed" " |  |  |  | b" [ failed 0 0 (Sets.Add "b"); elements 1 20 30 [ "b" ] ];
  let attempt = unknown 0 0 (Sets.Add "b") in
  valid "unknown, not seen" (check [ attempt; a; elements 1 20 30 [ "a" ] ]);
  report "unknown, seen, lost" "b |  |  |  | "
    [ attempt; elements 1 20 30 [ "b" ]; elements 1 40 50 [] ];
  refused "an element added twice"
    "Sets.check: two operations add a: give each addition its own element" (fun () ->
      check [ a; a ])

let correct_sets seed =
  let random = Generate.create seed in
  let unique = Generate.unique () in
  let operation () = if Generate.bool random then Sets.Add (unique ()) else Sets.Read in
  let all = ref [] in
  let perform = function
    | Sets.Add element ->
        all := element :: !all;
        Sets.Added
    | Sets.Read -> Sets.Elements !all
  in
  let history = execute (plan random ~clients:4 ~count:60 operation) perform in
  match Sets.check history with Undecided _ -> true | verdict -> holds verdict

module Q = Models.Queue

let put client invoked at value = returned client invoked at (Q.Enqueue value) Q.Enqueued
let take client invoked at value = returned client invoked at Q.Dequeue (Q.Dequeued value)

let queues () =
  let a = put 0 0 10 "a" and drained = take 1 100 110 None in
  let check = Queues.check in
  valid "drained" (check [ a; take 1 20 30 (Some "a"); drained ]);
  valid "in another order"
    (check [ a; put 0 11 15 "b"; take 1 20 30 (Some "b"); take 1 40 50 (Some "a") ]);
  invalid_with "lost" [ "1 values were lost"; "enqueue a" ] (check [ a; drained ]);
  valid "taken by an unknown dequeue" (check [ a; unknown 1 20 Q.Dequeue; drained ]);
  invalid "two by one dequeue" (check [ a; put 0 11 15 "b"; unknown 1 20 Q.Dequeue; drained ]);
  undecided "not drained" (check [ a ]);
  undecided "drained too early" (check [ a; take 1 5 20 None ]);
  invalid_with "twice" [ "more than once" ]
    (check [ a; take 1 20 30 (Some "a"); take 2 20 30 (Some "a") ]);
  invalid_with "never enqueued"
    [ "not enqueued"; "dequeue -> z" ]
    (check [ take 1 20 30 (Some "z") ]);
  invalid "too early" (check [ take 1 0 5 (Some "b"); put 0 10 20 "b" ]);
  invalid "failed" (check [ failed 0 0 (Q.Enqueue "b"); take 1 20 30 (Some "b") ]);
  valid "unknown, recovered"
    (check [ unknown 0 0 (Q.Enqueue "b"); take 1 20 30 (Some "b"); drained ]);
  valid "unknown, lost" (check [ unknown 0 0 (Q.Enqueue "b"); drained ]);
  refused "a value enqueued twice"
    "Queues.check: two operations enqueue a: give each operation its own value" (fun () ->
      check [ a; a ])

let correct_queues seed =
  let random = Generate.create seed in
  let unique = Generate.unique () in
  let operation () = if Generate.bool random then Q.Enqueue (unique ()) else Q.Dequeue in
  let perform = perform_queue () in
  let history = execute (plan random ~clients:4 ~count:60 operation) perform in
  let rec drain i =
    let result = perform Q.Dequeue in
    let op = returned 0 (100_000 + (10 * i)) (100_005 + (10 * i)) Q.Dequeue result in
    if result = Q.Dequeued None then [ op ] else op :: drain (i + 1)
  in
  holds (Queues.check (history @ drain 0))

let append client invoked at element =
  returned client invoked at (Appends.Append { key = "x"; element }) Appends.Appended

let list client invoked at list = returned client invoked at (Appends.Read "x") (Appends.List list)
let attempt element = Appends.Append { key = "x"; element }

let appends () =
  let a = append 0 0 10 "a" and b = append 0 20 30 "b" in
  let check = Appends.check in
  let weak = Appends.check ~real_time:false in
  valid "in order" (check [ a; list 1 12 15 [ "a" ]; b; list 1 40 50 [ "a"; "b" ] ]);
  valid "concurrent" (check [ a; append 1 5 15 "b"; list 2 40 50 [ "b"; "a" ] ]);
  invalid_with "twice" [ "key x"; "twice" ] (weak [ a; list 1 40 50 [ "a"; "a" ] ]);
  invalid_with "unwritten" [ "element z"; "no operation" ] (weak [ a; list 1 40 50 [ "a"; "z" ] ]);
  invalid "failed" (weak [ failed 0 0 (attempt "a"); list 1 40 50 [ "a" ] ]);
  invalid_with "too early" [ "before its append" ]
    (weak [ list 1 0 15 [ "b" ]; b; list 1 40 50 [ "b" ] ]);
  invalid_with "a fork" [ "prefix"; "[a]"; "[b a]" ]
    (weak [ a; append 1 5 15 "b"; list 2 6 9 [ "a" ]; list 2 40 50 [ "b"; "a" ] ]);
  invalid_with "lost" [ "lacks element b" ] (weak [ a; b; list 1 40 50 [ "a" ] ]);
  let stale = [ a; b; list 1 40 50 [ "a" ]; list 1 60 70 [ "a"; "b" ] ] in
  invalid "stale" (check stale);
  valid "stale, without real time" (weak stale);
  let shorter =
    [ append 0 0 100 "a"; list 1 10 20 [ "a" ]; list 2 30 40 []; list 1 110 120 [ "a" ] ]
  in
  invalid_with "shorter than before" [ "lacks elements of an earlier one" ] (check shorter);
  valid "shorter, without real time" (weak shorter);
  let reordered = [ a; b; list 1 40 50 [ "b"; "a" ] ] in
  invalid_with "another order" [ "another order" ] (check reordered);
  valid "another order, without real time" (weak reordered);
  (* Neighbours are concurrent; the first and the last are not. *)
  let c = append 2 5 35 "c" in
  invalid "another order at a distance" (check [ a; c; b; list 1 40 50 [ "b"; "c"; "a" ] ]);
  valid "unknown, seen" (check [ unknown 0 0 (attempt "a"); list 1 40 50 [ "a" ] ]);
  valid "unknown, not seen" (check [ unknown 0 0 (attempt "a"); list 1 40 50 [] ]);
  refused "an element appended twice"
    "Appends.check: two operations append a to x: give each append its own element" (fun () ->
      check [ a; a ])

let correct_appends seed =
  let random = Generate.create seed in
  let unique = Generate.unique () in
  let key = Generate.keys (Generate.split random) 3 in
  let operation () =
    if Generate.bool random then Appends.Append { key = key (); element = unique () }
    else Appends.Read (key ())
  in
  let lists = Hashtbl.create 16 in
  let find key = Option.value ~default:[] (Hashtbl.find_opt lists key) in
  let perform = function
    | Appends.Append { key; element } ->
        Hashtbl.replace lists key (element :: find key);
        Appends.Appended
    | Read key -> List (List.rev (find key))
  in
  holds (Appends.check (execute (plan random ~clients:4 ~count:60 operation) perform))

let cases =
  [
    case "bank" sums;
    property "correct banks" correct_banks;
    case "sets" sets;
    property "correct sets" correct_sets;
    case "queues" queues;
    property "correct queues" correct_queues;
    case "appends" appends;
    property "correct appends" correct_appends;
  ]
