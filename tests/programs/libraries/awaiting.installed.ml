(* Domain-local-await: domains and threads wait for one another, by its own means and by those of a
   scheduler that a domain brings. *)

module Await = Domain_local_await

(* A box for one value, whose readers wait. *)
type 'a box = Full of 'a | Empty of (unit -> unit) list

let make () = Atomic.make (Empty [])

let rec fill box value =
  match Atomic.get box with
  | Full _ -> failwith "full"
  | Empty waiting as before ->
      if Atomic.compare_and_set box before (Full value) then
        List.iter (fun release -> release ()) (List.rev waiting)
      else fill box value

let rec read box =
  match Atomic.get box with
  | Full value -> value
  | Empty waiting as before ->
      let { Await.release; await } = Await.prepare_for_await () in
      if Atomic.compare_and_set box before (Empty (release :: waiting)) then await ();
      read box

let () =
  let count = int_of_string Sys.argv.(1) in
  (* A ring: each waits for the one before, a hundred times around. *)
  let rounds = 100 in
  let boxes = Array.init ((count * rounds) + 1) (fun _ -> make ()) in
  let work which () =
    for round = 0 to rounds - 1 do
      let at = (round * count) + which in
      fill boxes.(at + 1) (read boxes.(at) + 1)
    done
  in
  let domains = List.init count (fun which -> Domain.spawn (work which)) in
  fill boxes.(0) 0;
  List.iter Domain.join domains;
  if read boxes.(count * rounds) = count * rounds then print_endline "a ring of domains";
  (* One releases all. *)
  let gate = make () and passed = Atomic.make 0 in
  let domains =
    List.init count (fun _ ->
        Domain.spawn (fun () ->
            read gate;
            Atomic.incr passed))
  in
  let before = Atomic.get passed in
  fill gate ();
  List.iter Domain.join domains;
  if before = 0 && Atomic.get passed = count then print_endline "one for all";
  (* Threads of each domain. *)
  let boxes = Array.init (count * 4) (fun _ -> make ()) in
  let work which () =
    Await.per_thread (module Thread);
    let thread at = Thread.create (fun () -> fill boxes.(at + 1) (read boxes.(at) + 1)) () in
    List.iter Thread.join (List.init 3 (fun n -> thread ((which * 4) + n)))
  in
  let domains = List.init count (fun which -> Domain.spawn (work which)) in
  for which = 0 to count - 1 do
    fill boxes.(which * 4) 0
  done;
  List.iter Domain.join domains;
  let last = List.init count (fun which -> read boxes.((which * 4) + 3)) in
  if List.for_all (( = ) 3) last then print_endline "threads of each domain";
  (* A scheduler of a domain brings its own wait. *)
  let used = Atomic.make 0 in
  let prepare_for_await () =
    let released = Atomic.make false in
    let await () =
      Atomic.incr used;
      while not (Atomic.get released) do
        Domain.cpu_relax ()
      done
    in
    { Await.release = (fun () -> Atomic.set released true); await }
  in
  let box = make () in
  let domain =
    Domain.spawn (fun () -> Await.using ~prepare_for_await ~while_running:(fun () -> read box))
  in
  while match Atomic.get box with Empty [] -> true | _ -> false do
    Domain.cpu_relax ()
  done;
  fill box 7;
  if Domain.join domain = 7 && Atomic.get used = 1 then print_endline "a wait of its own"
