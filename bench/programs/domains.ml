(* Domains on a machine with two processors. Arguments: KIND COUNT, or of a server KIND PORT. The host
   times what lies between the lines "begin" and "end"; a first domain has started the processors
   before. *)

let timed f =
  print_endline "begin";
  f ();
  print_endline "end"

(* The same work in one domain, after a first time, and then in two at once. *)
let alone_and_both work =
  work ();
  timed work;
  timed (fun () ->
      let other = Domain.spawn work in
      work ();
      Domain.join other)

let rec fib n = if n < 2 then n else fib (n - 1) + fib (n - 2)

let compute count () =
  for _ = 1 to count do
    ignore (Sys.opaque_identity (fib 25))
  done

type tree = Leaf | Node of tree * tree

let rec make depth = if depth = 0 then Leaf else Node (make (depth - 1), make (depth - 1))
let rec check = function Leaf -> 1 | Node (left, right) -> 1 + check left + check right

(* As trees.ml: one tree stays, others are collected. *)
let collect count () =
  let kept = make 14 in
  for _ = 1 to count do
    ignore (Sys.opaque_identity (check (make 10)))
  done;
  ignore (Sys.opaque_identity (check kept))

(* Blocks of 4 KiB to 1 MiB, of which some are in use, written at both ends. *)
let allocate count () =
  let kept = Array.make 16 Bytes.empty in
  for i = 1 to count do
    let size = 4096 lsl (i mod 9) in
    let block = Bytes.create size in
    Bytes.set block 0 'a';
    Bytes.set block (size - 1) 'z';
    kept.(i land 15) <- block
  done;
  ignore (Sys.opaque_identity kept)

let spawn_and_join count =
  for _ = 1 to count do
    Domain.join (Domain.spawn ignore)
  done

(* Runs [f] beside a domain that waits. *)
let beside_waiting f =
  let mutex = Mutex.create () and changed = Condition.create () and over = ref false in
  let wait () =
    Mutex.protect mutex (fun () ->
        while not !over do
          Condition.wait changed mutex
        done)
  in
  let other = Domain.spawn wait in
  f ();
  Mutex.protect mutex (fun () ->
      over := true;
      Condition.signal changed);
  Domain.join other

(* Alone, and beside a domain that waits. *)
let minor_collections count =
  let collect () =
    timed (fun () ->
        for _ = 1 to count do
          Gc.minor ()
        done)
  in
  collect ();
  beside_waiting collect

let hand_over count =
  let mutex = Mutex.create () and changed = Condition.create () and turn = ref 0 in
  let work me () =
    Mutex.protect mutex (fun () ->
        while !turn < count do
          if !turn land 1 = me then (
            incr turn;
            Condition.signal changed)
          else Condition.wait changed mutex
        done;
        Condition.signal changed)
  in
  timed (fun () ->
      let other = Domain.spawn (work 1) in
      work 0 ();
      Domain.join other)

let http kind port =
  let serve () =
    let listener = Io.listen port in
    Printf.printf "http ready on %d\n%!" port;
    Io.serve_chunks listener Requests.count ~response:Requests.response
  in
  match kind with
  | "waiting" -> beside_waiting serve
  | "collecting" ->
      let rec work () =
        collect 1000 ();
        work ()
      in
      let other = Domain.spawn work in
      serve ();
      Domain.join other
  | _ -> serve ()

let () =
  Domain.join (Domain.spawn ignore);
  let number = int_of_string Sys.argv.(2) in
  match Sys.argv.(1) with
  | "compute" -> alone_and_both (compute number)
  | "collect" -> alone_and_both (collect number)
  | "allocate" -> alone_and_both (allocate number)
  | "spawn" -> timed (fun () -> spawn_and_join number)
  | "minor" -> minor_collections number
  | "hand_over" -> hand_over number
  | kind -> Io.run (fun () -> http kind number)
