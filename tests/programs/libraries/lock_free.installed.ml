(* Saturn's structures between domains: nothing is lost, doubled or out of order. *)

let parallel works = List.map Domain.join (List.map Domain.spawn works)
let say name right = Printf.printf "%s: %s\n%!" name (if right then "as put in" else "WRONG")
let rounds = 500

(* What [pop] returns until [wanted] elements came, of all domains together. *)
let take wanted pop =
  let taken = Atomic.make 0 in
  fun () ->
    let rec more found =
      if Atomic.get taken >= wanted then List.rev found
      else
        match pop () with
        | Some element ->
            Atomic.incr taken;
            more (element :: found)
        | None ->
            Domain.cpu_relax ();
            more found
    in
    more []

let put producers push =
  List.init producers (fun which () ->
      for n = 1 to rounds do
        push ((which * rounds) + n)
      done;
      [])

let is_increasing list = List.sort compare list = list
let all count = List.init (count * rounds) succ

(* Whether each consumer got each producer's elements in their order. *)
let in_order producers found =
  List.for_all
    (fun which ->
      List.for_all
        (fun part -> is_increasing (List.filter (fun n -> (n - 1) / rounds = which) part))
        found)
    (List.init producers Fun.id)

let between name ~producers ~consumers ~ordered push pop =
  let consume = take (producers * rounds) pop in
  let found = parallel (put producers push @ List.init consumers (fun _ -> consume)) in
  let whole = List.sort compare (List.concat found) = all producers in
  say name (whole && ((not ordered) || in_order producers found))

let () =
  let half = max 1 (int_of_string Sys.argv.(1) / 2) in
  let open Saturn in
  let queue = Queue.create () in
  between "Queue" ~producers:half ~consumers:half ~ordered:true (Queue.push queue) (fun () ->
      Queue.pop_opt queue);
  let bounded = Bounded_queue.create ~capacity:8 () in
  let rec push n =
    if not (Bounded_queue.try_push bounded n) then (
      Domain.cpu_relax ();
      push n)
  in
  between "Bounded_queue" ~producers:half ~consumers:half ~ordered:true push (fun () ->
      Bounded_queue.pop_opt bounded);
  let stack = Stack.create () in
  between "Stack" ~producers:half ~consumers:half ~ordered:false (Stack.push stack) (fun () ->
      Stack.pop_opt stack);
  let single = Single_consumer_queue.create () in
  between "Single_consumer_queue" ~producers:half ~consumers:1 ~ordered:true
    (Single_consumer_queue.push single) (fun () -> Single_consumer_queue.pop_opt single);
  let pair = Single_prod_single_cons_queue.create ~size_exponent:3 in
  let rec push n =
    if not (Single_prod_single_cons_queue.try_push pair n) then (
      Domain.cpu_relax ();
      push n)
  in
  between "Single_prod_single_cons_queue" ~producers:1 ~consumers:1 ~ordered:true push (fun () ->
      Single_prod_single_cons_queue.pop_opt pair);
  let deque = Work_stealing_deque.create () in
  between "Work_stealing_deque" ~producers:1 ~consumers:half ~ordered:true
    (Work_stealing_deque.push deque) (fun () -> Work_stealing_deque.steal_opt deque);
  let bag = Bag.create () in
  between "Bag" ~producers:half ~consumers:half ~ordered:false (Bag.push bag) (fun () ->
      Bag.pop_opt bag);
  let list = Skiplist.create ~compare:Int.compare () in
  let added = parallel (put half (fun n -> ignore (Skiplist.try_add list n (-n)))) in
  let found = List.map (fun n -> Skiplist.find_opt list n) (all half) in
  say "Skiplist" (List.concat added = [] && found = List.map (fun n -> Some (-n)) (all half));
  let table = Htbl.create () in
  ignore (parallel (put half (fun n -> ignore (Htbl.try_add table n (-n)))));
  let bindings = List.sort compare (List.of_seq (Htbl.to_seq table)) in
  say "Htbl" (bindings = List.map (fun n -> (n, -n)) (all half))
