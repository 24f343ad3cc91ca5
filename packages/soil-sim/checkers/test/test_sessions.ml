(* Causal and Monotonic. *)
open Soil_sim_checkers
open Histories

let r key value = read key (Some value)
let nothing key = read key None

(* Figure 2 of Bouajjani et al. 2017: the variants that each history has. *)
let figure =
  [
    ( "(a) memory, not convergent",
      [ [ write "x" "1"; r "x" "2" ]; [ write "x" "2"; r "x" "1" ] ],
      (true, false, true) );
    ( "(b) convergent, not memory",
      [
        [ write "z" "1"; write "x" "1"; write "y" "1" ];
        [ write "x" "2"; nothing "z"; r "y" "1"; r "x" "2" ];
      ],
      (true, true, false) );
    ( "(c) neither, but weak",
      [ [ write "x" "1" ]; [ write "x" "2"; r "x" "1"; r "x" "2" ] ],
      (true, false, false) );
    ( "(d) all",
      [
        [ write "x" "1"; nothing "y"; write "y" "1"; r "x" "1" ];
        [ write "x" "2"; nothing "y"; write "y" "2"; r "x" "2" ];
      ],
      (true, true, true) );
    ( "(e) none",
      [ [ write "x" "1"; write "y" "1" ]; [ r "y" "1"; write "x" "2" ]; [ r "x" "2"; r "x" "1" ] ],
      (false, false, false) );
  ]

let literature () =
  let check (name, clients, (weak, convergent, memory)) =
    let variant is variant label =
      expect
        (if is then "valid" else "invalid")
        (name ^ ", " ^ label)
        (Causal.check ~variant (sessions clients))
    in
    variant weak Causal.Weak "weak";
    variant convergent Causal.Convergent "convergent";
    variant memory Causal.Memory "memory"
  in
  List.iter check figure

let causal clients = Causal.check (sessions clients)

let patterns () =
  invalid_with "a cycle"
    [ "depend on themselves"; "read x -> 1"; "write y 1" ]
    (causal [ [ r "x" "1"; write "y" "1" ]; [ r "y" "1"; write "x" "1" ] ]);
  invalid_with "the initial value"
    [ "without a value"; "write x 1"; "read x -> nothing" ]
    (causal [ [ write "x" "1"; write "y" "1" ]; [ r "y" "1"; nothing "x" ] ]);
  valid "without the dependency"
    (causal [ [ write "x" "1"; write "y" "1" ]; [ nothing "x"; r "y" "1" ] ]);
  invalid_with "out of thin air" [ "unwritten"; "read x -> 9" ] (causal [ [ r "x" "9" ] ]);
  invalid_with "an overwritten value"
    [ "overwritten"; "write x 1"; "write x 2"; "read x -> 1" ]
    (causal [ [ write "x" "1"; write "x" "2"; write "y" "1" ]; [ r "y" "1"; r "x" "1" ] ]);
  valid "one dependency less"
    (causal [ [ write "x" "1"; write "x" "2"; write "y" "1" ]; [ r "x" "1"; r "y" "1" ] ])

let swaps () =
  valid "a chain"
    (causal [ [ swap "x" None "1" true ]; [ swap "x" (Some "1") "2" true; r "x" "2" ] ]);
  invalid "back past a swap"
    (causal [ [ write "x" "1" ]; [ swap "x" (Some "1") "2" true; r "x" "1" ] ]);
  valid "a refused one writes nothing" (causal [ [ swap "x" (Some "7") "2" false; nothing "x" ] ])

(* A client depends on others' reads, which don't have one order, but not on their values. *)
let memory_of_others () =
  let clients =
    [
      [ write "x" "1"; r "x" "2"; write "y" "1" ];
      [ write "x" "2"; r "x" "1"; write "z" "1" ];
      [ r "y" "1"; r "z" "1" ];
    ]
  in
  valid "memory" (Causal.check ~variant:Memory (sessions clients));
  invalid "convergent" (Causal.check ~variant:Convergent (sessions clients))

let attempt key value = R.Write { key; value }
let ret client time (o, r) = returned client time (time + 5) o r

let causal_outcomes () =
  valid "a seen attempt" (Causal.check [ unknown 0 0 (attempt "x" "1"); ret 1 10 (r "x" "1") ]);
  valid "not seen by its client"
    (Causal.check [ unknown 0 0 (attempt "x" "1"); ret 0 10 (nothing "x") ]);
  valid "seen later"
    (Causal.check
       [
         unknown 0 0 (attempt "x" "1");
         ret 0 10 (nothing "x");
         ret 0 20 (write "y" "1");
         ret 1 30 (r "x" "1");
       ]);
  invalid_with "a failed attempt" [ "its write failed" ]
    (Causal.check [ failed 0 0 (attempt "x" "1"); ret 1 10 (r "x" "1") ]);
  valid "a second attempt"
    (Causal.check [ failed 0 0 (attempt "x" "1"); ret 0 10 (write "x" "1"); ret 1 20 (r "x" "1") ]);
  (* The attempt comes after its client's earlier operations. *)
  invalid "before its client's read"
    (Causal.check
       [
         ret 0 0 (write "x" "1");
         unknown 0 10 (attempt "y" "1");
         ret 1 20 (r "y" "1");
         ret 1 30 (nothing "x");
       ]);
  refused "two writes of a value"
    "Causal.check: two operations write 1 to key x: give each write its own value" (fun () ->
      causal [ [ write "x" "1" ]; [ write "x" "1" ] ]);
  refused "a deletion" "Causal.check: an operation deletes key x: check a history without deletions"
    (fun () -> causal [ [ (R.Delete "x", R.Done) ] ])

let monotonic ?guarantees clients = Monotonic.check ?guarantees (sessions clients)

(* A history that breaks each guarantee, and no other one. *)
let guarantees () =
  let writers = [ [ write "x" "1" ]; [ write "x" "2" ] ] in
  let all =
    Monotonic.
      [
        (Monotonic_reads, "monotonic reads", writers @ [ [ r "x" "1"; r "x" "2"; r "x" "1" ] ]);
        ( Read_your_writes,
          "read your writes",
          [ [ write "x" "1"; r "x" "2" ]; [ write "x" "2"; r "x" "1" ] ] );
      ]
  in
  let broken (guarantee, name, clients) =
    invalid_with name [ name; "read x -> 1" ] (monotonic clients);
    let others = List.filter (fun (other, _, _) -> other <> guarantee) all in
    let others = List.map (fun (other, _, _) -> other) others in
    valid ("without " ^ name)
      (monotonic ~guarantees:(Monotonic_writes :: Writes_follow_reads :: others) clients);
    invalid ("only " ^ name) (monotonic ~guarantees:[ guarantee ] clients)
  in
  List.iter broken all;
  let reader = [ r "x" "2"; r "x" "1" ] in
  let writes = [ [ write "x" "1"; write "x" "2" ]; reader ] in
  invalid_with "monotonic writes" [ "monotonic writes: "; "monotonic reads: " ] (monotonic writes);
  let all = Monotonic.[ Monotonic_reads; Read_your_writes; Writes_follow_reads ] in
  valid "without monotonic writes" (monotonic ~guarantees:all writes);
  let follows = [ [ write "x" "1" ]; [ r "x" "1"; write "x" "2" ]; reader ] in
  invalid_with "writes follow reads" [ "writes follow reads: " ] (monotonic follows);
  let all = Monotonic.[ Monotonic_reads; Read_your_writes; Monotonic_writes ] in
  valid "without writes that follow reads" (monotonic ~guarantees:all follows)

let versions () =
  valid "forward" (monotonic [ [ write "x" "1"; r "x" "1"; r "x" "2" ]; [ write "x" "2" ] ]);
  invalid "back to nothing" (monotonic [ [ write "x" "1" ]; [ r "x" "1"; nothing "x" ] ]);
  invalid "nothing after a write" (monotonic [ [ write "x" "1"; nothing "x" ] ]);
  valid "keys are independent"
    (monotonic [ [ write "x" "1"; write "y" "1" ]; [ r "y" "1"; nothing "x" ] ]);
  let up = [ r "x" "1"; r "x" "2" ] and down = [ r "x" "2"; r "x" "1" ] in
  invalid "clients that disagree" (monotonic [ [ write "x" "1" ]; [ write "x" "2" ]; up; down ]);
  invalid "an unwritten value" (monotonic [ [ r "x" "1" ] ]);
  valid "an attempt promises nothing"
    (Monotonic.check
       [ unknown 0 0 (attempt "x" "1"); ret 0 10 (nothing "x"); ret 1 20 (r "x" "1") ]);
  valid "an attempt may be late"
    (Monotonic.check
       [
         unknown 0 0 (attempt "x" "1");
         ret 0 10 (write "x" "2");
         ret 1 20 (r "x" "2");
         ret 1 30 (r "x" "1");
       ])

(* A correct register has all of these; a cache that some reads come from has none. *)

let history seed =
  let random = Generate.create seed in
  let operation = register_operation ~distinct:true random ~keys:3 in
  plan random ~clients:4 ~count:80 operation

let correct seed =
  let history = execute (history seed) (perform_register ()) in
  holds (Causal.check history)
  && holds (Causal.check ~variant:Convergent history)
  && holds (Causal.check ~variant:Memory history)
  && holds (Monotonic.check history)

(* Reads of one client's key alternate between the newest value and one from before. *)
let broken seed =
  let random = Generate.create seed in
  let perform = perform_register () in
  let old = Hashtbl.create 16 in
  let stale operation =
    match operation with
    | R.Read key when Generate.bool random && Hashtbl.mem old key -> Hashtbl.find old key
    | R.Read key ->
        let result = perform operation in
        Hashtbl.replace old key result;
        result
    | _ -> perform operation
  in
  let history = execute (history seed) stale in
  (Causal.check history, Monotonic.check history)

let detects_stale () =
  let bad = List.init 100 (fun seed -> broken seed) in
  let count f = List.length (List.filter (fun v -> kind (f v) = "invalid") bad) in
  Alcotest.(check bool) "most by causality" true (count fst > 50);
  Alcotest.(check bool) "most by session" true (count snd > 50)

(* Sequential consistency implies each variant of causal consistency. *)
let agrees_with_sequential () =
  let small seed =
    let random = Generate.create seed in
    let unique = Generate.unique () in
    let values = Array.make 2 [ None ] in
    let key () = Generate.int random 2 in
    let name = Printf.sprintf "k%d" in
    let operation _ =
      let k = key () in
      if Generate.bool random then (
        let value = unique () in
        values.(k) <- Some value :: values.(k);
        write (name k) value)
      else read (name k) (Generate.choice random values.(k))
    in
    sessions (List.init 3 (fun _ -> List.init 4 operation))
  in
  let sequential = ref 0 in
  for seed = 1 to 2000 do
    let history = small seed in
    let is_valid verdict = kind verdict = "valid" in
    let implies name a b = if a && not b then Alcotest.failf "seed %d: %s" seed name in
    let weak = is_valid (Causal.check history) in
    let convergent = is_valid (Causal.check ~variant:Convergent history) in
    let memory = is_valid (Causal.check ~variant:Memory history) in
    let is_sequential = is_valid (Sequential.check (module R) history) in
    let monotonic = is_valid (Monotonic.check history) in
    if is_sequential then incr sequential;
    implies "sequential, so convergent" is_sequential convergent;
    implies "sequential, so causal memory" is_sequential memory;
    implies "sequential, so monotonic" is_sequential monotonic;
    implies "convergent, so weak" convergent weak;
    implies "convergent, so monotonic" convergent monotonic;
    implies "causal memory, so weak" memory weak
  done;
  Alcotest.(check bool) "both verdicts" true (!sequential > 200 && !sequential < 1800)

let cases =
  [
    case "causal histories of the literature" literature;
    case "bad patterns" patterns;
    case "memory of others" memory_of_others;
    case "compare and set" swaps;
    case "outcomes" causal_outcomes;
    case "session guarantees" guarantees;
    case "versions" versions;
    property "correct registers" correct;
    case "stale reads" detects_stale;
    case "implications" agrees_with_sequential;
  ]
