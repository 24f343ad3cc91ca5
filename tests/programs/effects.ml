(* Deep and shallow handlers, a generator, continuations dropped and resumed late, and many
   fibers. *)
open Effect
open Effect.Deep

type _ Effect.t += Yield : int -> unit Effect.t | Ask : string Effect.t

let generate n =
  for i = 1 to n do
    perform (Yield i)
  done

let sum n =
  let total = ref 0 in
  (match generate n with
  | () -> ()
  | effect Yield i, k ->
      total := !total + i;
      continue k ());
  !total

let ask () =
  match String.length (perform Ask) with
  | n -> Printf.sprintf "answer of %d letters" n
  | effect Ask, k -> continue k "soil"

let refused () =
  match perform Ask with
  | s -> s
  | exception Failure reason -> "refused: " ^ reason
  | effect Ask, k -> discontinue k (Failure "no answer")

type parked = Parked : (unit, int) continuation -> parked

let parked () =
  let waiting = Queue.create () in
  let fiber i () =
    match
      perform (Yield i);
      i * i
    with
    | square -> square
    | effect Yield _, k ->
        Queue.push (Parked k) waiting;
        -i
  in
  let firsts = List.init 10_000 (fun i -> fiber i ()) in
  Gc.full_major ();
  let total = Queue.fold (fun total (Parked k) -> total + continue k ()) 0 waiting in
  (List.length firsts, total)

let unhandled () = try perform Ask with Unhandled Ask -> "unhandled"

let () =
  Printf.printf "sum %d\n%s\n%s\n" (sum 100_000) (ask ()) (refused ());
  let fibers, total = parked () in
  Printf.printf "%d fibers, total %d\n%s\n" fibers total (unhandled ())
