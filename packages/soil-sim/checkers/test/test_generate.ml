(* Generate: known answers, ranges and frequencies, from fixed seeds. *)
open Soil_sim_checkers
module G = Generate

let case name f = Alcotest.test_case name `Quick f
let yes name condition = Alcotest.(check bool) name true condition
let draws n f = List.init n (fun _ -> f ())
let count holds list = List.length (List.filter holds list)

(* The outputs of Vigna's splitmix64.c from 1234567, and of the paper's split in Python. The sparse
   gamma of seed 11 gets more changes. *)
let known () =
  let t = G.create 1234567 in
  let split seed =
    let child = G.split (G.create seed) in
    draws 2 (fun () -> Printf.sprintf "%Lu" (G.bits64 child))
  in
  let strings = Alcotest.(check (list string)) in
  strings "split" [ "14201552918486545593"; "7808539724696272966" ] (split 1);
  strings "split, sparse" [ "4571796205088123569"; "3858759985714206617" ] (split 11);
  Alcotest.(check (list string))
    "SplitMix64"
    [
      "6457827717110365317";
      "3203168211198807973";
      "9817491932198370423";
      "4593380528125082431";
      "16408922859458223821";
    ]
    (draws 5 (fun () -> Printf.sprintf "%Lu" (G.bits64 t)))

let splits () =
  let parent = G.create 1 in
  let child = G.split parent in
  let again = G.create 1 in
  let same = G.split again in
  let a = draws 100 (fun () -> G.bits64 child) in
  yes "the same child" (a = draws 100 (fun () -> G.bits64 same));
  yes "the same parent" (G.bits64 parent = G.bits64 again);
  let b = draws 100 (fun () -> G.bits64 parent) in
  yes "different streams" (List.for_all (fun x -> not (List.mem x b)) a)

let ranges () =
  let t = G.create 2 in
  let ints = draws 1000 (fun () -> G.int t 10) in
  for i = 0 to 9 do
    yes (Printf.sprintf "%d is as frequent" i) (abs (count (( = ) i) ints - 100) < 40)
  done;
  yes "large bounds" (List.for_all (fun n -> n >= 0) (draws 100 (fun () -> G.int t max_int)));
  yes "floats" (List.for_all (fun x -> x >= 0. && x < 2.) (draws 1000 (fun () -> G.float t 2.)));
  yes "booleans" (abs (count Fun.id (draws 1000 (fun () -> G.bool t)) - 500) < 60);
  yes "chances" (abs (count Fun.id (draws 1000 (fun () -> G.chance t 0.1)) - 100) < 40);
  Histories.refused "no range" "Generate.int: bound 0: give a positive one" (fun () -> G.int t 0)

let choices () =
  let t = G.create 3 in
  let letters = draws 1000 (fun () -> G.choice t [ 'a'; 'b' ]) in
  yes "choice" (abs (count (( = ) 'a') letters - 500) < 60);
  let letters = draws 1000 (fun () -> G.weighted t [ (1, 'a'); (0, 'b'); (9, 'c') ]) in
  yes "weights" (abs (count (( = ) 'a') letters - 100) < 40 && count (( = ) 'b') letters = 0);
  Histories.refused "no items" "Generate.choice: no items: give at least one" (fun () ->
      G.choice t []);
  Histories.refused "no weight"
    "Generate.weighted: weights that are negative, or have no positive sum" (fun () ->
      G.weighted t [ (0, 'a') ])

let shuffles () =
  let t = G.create 4 in
  let all = draws 600 (fun () -> G.shuffle t [ 1; 2; 3 ]) in
  yes "permutations" (List.for_all (fun l -> List.sort compare l = [ 1; 2; 3 ]) all);
  let orders = List.sort_uniq compare all in
  Alcotest.(check int) "all orders" 6 (List.length orders);
  yes "equally" (List.for_all (fun o -> abs (count (( = ) o) all - 100) < 40) orders)

let sizes () =
  let t = G.create 5 in
  let all = draws 2000 (fun () -> G.size t ~max:1000) in
  yes "in range" (List.for_all (fun n -> n >= 0 && n <= 1000) all);
  yes "zero" (count (( = ) 0) all > 100);
  yes "the greatest" (count (( = ) 1000) all > 50);
  yes "small ones" (count (fun n -> n < 10) all > 500);
  yes "large ones" (count (fun n -> n > 500 && n < 1000) all > 20);
  Alcotest.(check (list int)) "none" [ 0; 0 ] (draws 2 (fun () -> G.size t ~max:0));
  yes "huge" (List.for_all (fun n -> n >= 0) (draws 1000 (fun () -> G.size t ~max:(max_int - 1))))

let hot_spots () =
  let frequencies skew =
    let number = G.zipf ~skew (G.create 6) 10 in
    let all = draws 3000 number in
    List.sort (fun a b -> compare b a) (List.init 10 (fun i -> count (( = ) i) all))
  in
  (* Of the harmonic number 2.93: 1024, 512, 341, … *)
  (match frequencies 1. with
  | first :: second :: _ -> yes "zipf" (abs (first - 1024) < 100 && abs (second - 512) < 80)
  | _ -> assert false);
  yes "no skew" (List.for_all (fun n -> abs (n - 300) < 70) (frequencies 0.));
  let hottest seed =
    let key = G.keys ~skew:3. (G.create seed) 10 in
    List.nth (List.sort compare (draws 99 key)) 49
  in
  yes "the seed chooses them" (List.length (List.sort_uniq compare (List.init 20 hottest)) > 3)

let times () =
  let all = draws 8000 (G.think ~burst:8 ~within:1000 ~idle:1_000_000 (G.create 7)) in
  yes "not negative" (List.for_all (fun n -> n >= 0) all);
  let long = List.filter (fun n -> n > 20_000) all
  and short = List.filter (fun n -> n <= 20_000) all in
  let mean list = List.fold_left ( + ) 0 list / List.length list in
  yes "bursts" (abs (List.length long - 1000) < 120);
  yes "between bursts" (abs (mean long - 1_000_000) < 100_000);
  yes "in bursts" (abs (mean short - 1000) < 500)

let values () =
  let next = G.unique ~prefix:"w" () in
  Alcotest.(check (list string)) "unique" [ "w0"; "w1"; "w2" ] (draws 3 next);
  let list seed =
    QCheck2.Gen.(generate1 ~rand:(G.to_random_state (G.create seed)) (list_size (return 20) int))
  in
  yes "qcheck, of one seed" (list 1 = list 1);
  yes "qcheck, of two seeds" (list 1 <> list 2)

let cases =
  [
    case "known answers" known;
    case "split" splits;
    case "ranges" ranges;
    case "choices" choices;
    case "shuffle" shuffles;
    case "sizes" sizes;
    case "hot spots" hot_spots;
    case "think times" times;
    case "values" values;
  ]
