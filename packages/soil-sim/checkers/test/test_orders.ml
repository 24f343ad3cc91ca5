(* Linearizable and Sequential. *)
open Soil_sim_checkers
open Histories

let linearizable ?budget history = Linearizable.check ?budget (module R) history
let sequential ?budget history = Sequential.check ?budget (module R) history
let ret client invoked at (o, r) = returned client invoked at o r

let registers () =
  let w1 = ret 0 0 100 (write "x" "1") in
  valid "no operations" (linearizable []);
  valid "a concurrent read before" (linearizable [ w1; ret 1 10 20 (read "x" None) ]);
  valid "a concurrent read after" (linearizable [ w1; ret 1 10 20 (read "x" (Some "1")) ]);
  valid "old, then new"
    (linearizable [ w1; ret 1 10 20 (read "x" None); ret 2 30 40 (read "x" (Some "1")) ]);
  (* Lamport's regular register. *)
  invalid_with "new, then old"
    [ "key x"; "read x -> nothing"; "read x -> 1"; "none of these can follow" ]
    (linearizable [ w1; ret 1 10 20 (read "x" (Some "1")); ret 2 30 40 (read "x" None) ]);
  invalid "a stale read" (linearizable [ w1; ret 1 101 110 (read "x" None) ]);
  valid "a read at the time of the return" (linearizable [ w1; ret 1 100 110 (read "x" None) ]);
  invalid "the writer's read then" (linearizable [ w1; ret 0 100 110 (read "x" None) ]);
  valid "two keys" (linearizable [ w1; ret 1 101 110 (read "y" None) ]);
  invalid "an unwritten value" (linearizable [ w1; ret 1 10 20 (read "x" (Some "2")) ])

let compare_and_set () =
  let swap_in at expected value swapped =
    ret at (10 * at) ((10 * at) + 5) (swap "x" expected value swapped)
  in
  valid "a chain" (linearizable [ swap_in 0 None "1" true; swap_in 1 (Some "1") "2" true ]);
  invalid "two of the same value"
    (linearizable [ swap_in 0 None "1" true; swap_in 1 None "2" true ]);
  valid "one refused" (linearizable [ swap_in 0 None "1" true; swap_in 1 None "2" false ]);
  invalid "refused in vain" (linearizable [ swap_in 0 None "1" false ]);
  valid "after a deletion"
    (linearizable
       [
         swap_in 0 None "1" true;
         returned 1 10 15 (R.Delete "x") R.Done;
         swap_in 2 None "1" true;
         ret 3 30 35 (read "x" (Some "1"));
       ])

let outcomes () =
  let attempt = R.Write { key = "x"; value = "1" } in
  let reads = List.mapi (fun i value -> ret 1 (100 * (i + 1)) ((100 * i) + 150) (read "x" value)) in
  valid "unknown, seen" (linearizable (unknown 0 0 attempt :: reads [ Some "1"; Some "1" ]));
  valid "unknown, not seen" (linearizable (unknown 0 0 attempt :: reads [ None; None ]));
  valid "unknown, seen late" (linearizable (unknown 0 0 attempt :: reads [ None; Some "1" ]));
  invalid "unknown, undone" (linearizable (unknown 0 0 attempt :: reads [ Some "1"; None ]));
  invalid "before its invocation" (linearizable (reads [ Some "1" ] @ [ unknown 0 151 attempt ]));
  invalid "before the client's write"
    (linearizable
       [
         ret 0 0 10 (write "x" "0");
         unknown 0 10 attempt;
         ret 1 20 30 (read "x" (Some "1"));
         ret 1 40 50 (read "x" (Some "0"));
       ]);
  invalid "failed, seen" (linearizable (failed 0 0 attempt :: reads [ Some "1" ]));
  (* Each takes effect once. *)
  let twice n = List.init n (fun i -> unknown (10 + i) 0 attempt) in
  let undone = ret 2 160 190 (write "x" "2") in
  let history n = History.sort (twice n @ (undone :: reads [ Some "1"; Some "1" ])) in
  invalid "one attempt, seen twice" (linearizable (history 1));
  valid "two attempts, seen twice" (linearizable (history 2))

let queue history = Linearizable.check (module Models.Queue) history
let enqueue value = (Models.Queue.Enqueue value, Models.Queue.Enqueued)
let dequeue value = (Models.Queue.Dequeue, Models.Queue.Dequeued value)

(* Histories of Herlihy and Wing 1990, figure 1. *)
let queues () =
  valid "H1"
    (queue
       [
         ret 0 0 10 (enqueue "x");
         ret 1 5 20 (enqueue "y");
         ret 1 30 40 (dequeue (Some "x"));
         ret 0 35 50 (dequeue (Some "y"));
         ret 0 60 70 (enqueue "z");
       ]);
  invalid "H2"
    (queue
       [ ret 0 0 10 (enqueue "x"); ret 1 20 30 (enqueue "y"); ret 0 40 50 (dequeue (Some "y")) ]);
  valid "H3" (queue [ ret 0 0 30 (enqueue "x"); ret 1 10 20 (dequeue (Some "x")) ]);
  invalid "H4"
    (queue
       [
         ret 0 0 30 (enqueue "x");
         ret 1 5 20 (enqueue "y");
         ret 0 40 50 (dequeue (Some "y"));
         ret 1 45 60 (dequeue (Some "y"));
       ]);
  invalid "empty with a value" (queue [ ret 0 0 10 (enqueue "x"); ret 1 20 30 (dequeue None) ])

let other_models () =
  let set = Linearizable.check (module Models.Set) in
  let counter = Linearizable.check (module Models.Counter) in
  let add = Models.Set.(Add "a", Done) and remove = Models.Set.(Remove "a", Done) in
  let has member = Models.Set.(Contains "a", Member member) in
  valid "a set"
    (set
       [
         ret 0 0 1 (has false);
         ret 0 2 3 add;
         ret 0 4 5 (has true);
         ret 0 6 7 remove;
         ret 0 8 9 (has false);
       ]);
  invalid "without its element" (set [ ret 0 0 1 add; ret 1 2 3 (has false) ]);
  let plus n = Models.Counter.(Add n, Done) and count n = Models.Counter.(Read, Count n) in
  valid "a counter" (counter [ ret 0 0 10 (plus 1); ret 1 5 20 (plus 2); ret 2 6 8 (count 2) ]);
  invalid "a lost addition"
    (counter [ ret 0 0 10 (plus 1); ret 1 5 20 (plus 2); ret 2 30 40 (count 2) ])

let budgets () =
  let concurrent n = List.init n (fun i -> ret i 0 100 (write "x" (string_of_int i))) in
  undecided "few steps" (linearizable ~budget:10 (concurrent 20));
  valid "more steps" (linearizable ~budget:20 (concurrent 20));
  let both = concurrent 20 @ [ ret 99 200 300 (read "y" (Some "1")) ] in
  invalid "another key" (linearizable ~budget:10 both);
  undecided "few steps of a sequential order" (sequential ~budget:10 (concurrent 20))

let sequences () =
  let stale = [ ret 0 0 10 (write "x" "1"); ret 1 20 30 (read "x" None) ] in
  valid "a stale read" (sequential stale);
  invalid "a client's own stale read"
    (sequential [ ret 0 0 10 (write "x" "1"); ret 0 20 30 (read "x" None) ]);
  (* Each key has an order, but not both together: the buffers of stores. *)
  let buffers = sessions [ [ write "x" "1"; read "y" None ]; [ write "y" "1"; read "x" None ] ] in
  invalid "store buffers" (sequential buffers);
  (* Independent reads of independent writes. *)
  let readers first second =
    [
      [ write "x" "1" ];
      [ write "y" "1" ];
      [ read "x" (Some "1"); read "y" first ];
      [ read "y" (Some "1"); read "x" second ];
    ]
  in
  invalid "readers that disagree" (sequential (sessions (readers None None)));
  valid "readers that agree" (sequential (sessions (readers None (Some "1"))));
  valid "an unknown write, late"
    (sequential
       [
         unknown 0 0 (R.Write { key = "x"; value = "1" });
         ret 0 10 20 (read "x" None);
         ret 0 30 40 (read "x" (Some "1"));
       ]);
  invalid "an unknown write, before its client's earlier one"
    (sequential
       [
         ret 0 0 10 (write "x" "0");
         unknown 0 20 (R.Write { key = "x"; value = "1" });
         ret 1 0 5 (read "x" (Some "1"));
         ret 1 10 20 (read "x" (Some "0"));
       ])

(* Correct objects. *)

let random_registers ?swaps ~clients ~keys ~count seed =
  let random = Generate.create seed in
  let operation = register_operation ?swaps random ~keys in
  execute (plan random ~clients ~count operation) (perform_register ())

let correct_registers seed =
  let history = random_registers ~clients:5 ~keys:3 ~count:60 seed in
  holds (linearizable history) && holds (sequential history)

let correct_queues seed =
  let random = Generate.create seed in
  let unique = Generate.unique () in
  let operation () =
    if Generate.bool random then Models.Queue.Enqueue (unique ()) else Models.Queue.Dequeue
  in
  holds (queue (execute (plan random ~clients:4 ~count:30 operation) (perform_queue ())))

let correct_counters seed =
  let random = Generate.create seed in
  let operation () =
    if Generate.bool random then Models.Counter.Add (Generate.int random 3) else Models.Counter.Read
  in
  let history = execute (plan random ~clients:4 ~count:30 operation) (perform_counter ()) in
  holds (Linearizable.check (module Models.Counter) history)

(* Small random histories, most of which no order explains. *)

let small ?(unknown_of_8 = 2) random operation result =
  let free = Array.make 3 0 in
  let one _ =
    let client = Generate.int random 3 in
    let invoked = free.(client) + Generate.int random 4 in
    let at = invoked + 1 + Generate.int random 6 in
    free.(client) <- at;
    let operation = operation () in
    match Generate.int random 8 with
    | 0 -> failed client invoked operation
    | chance when chance <= unknown_of_8 -> unknown client invoked operation
    | _ -> returned client invoked at operation (result operation)
  in
  History.sort (List.init (1 + Generate.int random 6) one)

let value random () = string_of_int (Generate.int random 2)

let small_registers ~keys ?unknown_of_8 random =
  let value = value random in
  let result = function
    | R.Read _ -> R.Value (if Generate.int random 4 = 0 then None else Some (value ()))
    | R.Write _ | R.Delete _ -> R.Done
    | R.Compare_and_set _ -> R.Swapped (Generate.bool random)
  in
  small ?unknown_of_8 random (register_operation random ~keys) result

let small_queues ?unknown_of_8 random =
  let value = value random in
  let operation () =
    if Generate.bool random then Models.Queue.Enqueue (value ()) else Models.Queue.Dequeue
  in
  let result = function
    | Models.Queue.Enqueue _ -> Models.Queue.Enqueued
    | Models.Queue.Dequeue ->
        Models.Queue.Dequeued (if Generate.int random 4 = 0 then None else Some (value ()))
  in
  small ?unknown_of_8 random operation result

let small_counters ?unknown_of_8 random =
  let operation () =
    if Generate.bool random then Models.Counter.Add (1 + Generate.int random 2)
    else Models.Counter.Read
  in
  let result = function
    | Models.Counter.Add _ -> Models.Counter.Done
    | Models.Counter.Read -> Models.Counter.Count (Generate.int random 5)
  in
  small ?unknown_of_8 random operation result

(* On [count] histories; each verdict must be frequent enough to mean something. *)
let agrees name small check brute =
  case name @@ fun () ->
  let count = 4000 in
  let valid = ref 0 in
  for seed = 1 to count do
    let history = small (Generate.create seed) in
    let expected = brute history in
    if expected then incr valid;
    expect (if expected then "valid" else "invalid") (Printf.sprintf "seed %d" seed) (check history)
  done;
  Alcotest.(check bool) "both verdicts" true (!valid > count / 10 && !valid < count * 9 / 10)

(* Steps of histories with 200 operations for each key, a tenth of them of unknown outcome. *)

let decides_large () =
  let large seed = random_registers ~clients:10 ~keys:5 ~count:1000 seed in
  for seed = 1 to 10 do
    let history = large seed in
    let name = Printf.sprintf "seed %d" seed in
    valid name (linearizable ~budget:2_000 history);
    let last =
      List.fold_left (fun last (op : _ History.operation) -> Int.max last op.invoked) 0 history
    in
    let wrong = history @ [ ret 99 (last + 1000) (last + 2000) (read "k1" (Some "never")) ] in
    invalid (name ^ " with a wrong read") (linearizable ~budget:200_000 wrong)
  done

(* Writes whose outcome is unknown may each take effect before any of the reads. *)
let decides_unknown () =
  let attempts =
    List.init 40 (fun i -> unknown (100 + i) 0 (R.Write { key = "x"; value = string_of_int i }))
  in
  let round i = ret 0 (100 + (20 * i)) (105 + (20 * i)) in
  let reads = List.init 20 (fun i -> round i (read "x" (Some (string_of_int (2 * i))))) in
  valid "reads of some" (linearizable ~budget:20_000 (attempts @ reads));
  let wrong = attempts @ reads @ [ round 20 (read "x" (Some "0")) ] in
  invalid "one of them twice" (linearizable ~budget:100_000 wrong);
  let enqueues = List.init 12 (fun i -> unknown (100 + i) 0 (Models.Queue.Enqueue "a")) in
  let empty = ret 0 100 110 (dequeue None) and other = ret 0 120 130 (dequeue (Some "b")) in
  invalid "equal values"
    (Linearizable.check ~budget:20_000 (module Models.Queue) (enqueues @ [ empty; other ]))

(* An operation of unknown outcome comes right before the read that needs it. *)
let decides_late () =
  let add n = (Models.Counter.Add n, Models.Counter.Done) in
  let attempts = List.init 6 (fun i -> unknown (100 + i) 0 (Models.Counter.Add (2 lsl i))) in
  let adds = List.init 30 (fun i -> ret 0 (100 + (20 * i)) (105 + (20 * i)) (add 2)) in
  let read = ret 0 1000 1010 (Models.Counter.Read, Models.Counter.Count 99) in
  invalid "an odd sum"
    (Linearizable.check ~budget:32_000 (module Models.Counter) (attempts @ adds @ [ read ]))

(* Equal operations of unknown outcome, of which only the second one is in time. *)
let equal_attempts () =
  let attempt = R.Write { key = "x"; value = "1" } in
  let read at = ret 0 0 at (read "x" (Some "1")) in
  valid "after the client's read, at one time"
    (linearizable [ read 20; unknown 0 20 attempt; unknown 1 20 attempt ]);
  valid "after the client's read, in its order"
    (sequential [ read 10; unknown 0 20 attempt; unknown 1 30 attempt ])

(* The first sum that fits the first read uses the attempt that the second read needs. *)
let other_attempts () =
  let count n = (Models.Counter.Read, Models.Counter.Count n) in
  let attempts = List.init 3 (fun i -> unknown i 0 (Models.Counter.Add (i + 1))) in
  let reads = [ ret 9 10 20 (count 3); ret 9 30 40 (count 5) ] in
  valid "3, then 2" (Linearizable.check (module Models.Counter) (attempts @ reads))

let cases =
  [
    case "registers" registers;
    case "compare and set" compare_and_set;
    case "outcomes" outcomes;
    case "queues" queues;
    case "sets and counters" other_models;
    case "budgets" budgets;
    case "sequential consistency" sequences;
    property "correct registers" correct_registers;
    property "correct queues" correct_queues;
    property "correct counters" correct_counters;
    agrees "registers by brute force" (small_registers ~keys:1)
      (Linearizable.check (module R))
      (Brute_force.is_linearizable (module R));
    agrees "queues by brute force" small_queues
      (Linearizable.check (module Models.Queue))
      (Brute_force.is_linearizable (module Models.Queue));
    agrees "counters by brute force" small_counters
      (Linearizable.check (module Models.Counter))
      (Brute_force.is_linearizable (module Models.Counter));
    agrees "unknown registers by brute force"
      (small_registers ~unknown_of_8:5 ~keys:1)
      (Linearizable.check (module R))
      (Brute_force.is_linearizable (module R));
    agrees "unknown counters by brute force" (small_counters ~unknown_of_8:5)
      (Linearizable.check (module Models.Counter))
      (Brute_force.is_linearizable (module Models.Counter));
    agrees "sequences by brute force" (small_registers ~keys:2)
      (Sequential.check (module R))
      (Brute_force.is_sequential (module R));
    case "large histories" decides_large;
    case "many unknown outcomes" decides_unknown;
    case "late unknown outcomes" decides_late;
    case "equal unknown outcomes" equal_attempts;
    case "other unknown outcomes" other_attempts;
  ]
