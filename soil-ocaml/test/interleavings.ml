(* All orders in which threads can make the steps of atomics: each operation is one step. *)

open Effect
open Effect.Deep

type _ Effect.t += Step : (unit -> bool) -> unit Effect.t

(* The step can be made once [ready ()]. *)
let step_when ready = perform (Step ready)
let step () = step_when (fun () -> true)

module Atomic = struct
  type 'a t = 'a ref

  let make = ref

  let get cell =
    step ();
    !cell

  let set cell v =
    step ();
    cell := v

  let exchange cell v =
    step ();
    let before = !cell in
    cell := v;
    before

  let compare_and_set cell before after =
    step ();
    let same = !cell == before in
    if same then cell := after;
    same
end

type thread = Ended | Waits of (unit -> bool) * (unit, thread) continuation

exception Deadlock

let start f =
  match_with f ()
    {
      retc = (fun () -> Ended);
      exnc = raise;
      effc =
        (fun (type a) (request : a Effect.t) ->
          match request with
          | Step ready -> Some (fun (k : (a, thread) continuation) -> Waits (ready, k))
          | _ -> None);
    }

(* Runs the threads in the order of [choices], and then the first that can go on. The choices made,
   the latest first, each with the number of threads that there were to choose from. *)
let run threads choices =
  let threads = Array.map start threads in
  let can_go_on i = match threads.(i) with Ended -> false | Waits (ready, _) -> ready () in
  let rec go choices made =
    match List.filter can_go_on (List.init (Array.length threads) Fun.id) with
    | [] ->
        if Array.exists (fun thread -> thread <> Ended) threads then raise Deadlock;
        made
    | able ->
        let choice, choices =
          match choices with [] -> (0, []) | choice :: choices -> (choice, choices)
        in
        let i = List.nth able choice in
        (match threads.(i) with
        | Waits (_, k) -> threads.(i) <- continue k ()
        | Ended -> assert false);
        go choices ((choice, List.length able) :: made)
  in
  go choices []

(* At most [most] choices are of another thread than the first that can go on. *)
let rec next most = function
  | [] -> None
  | (choice, of_so_many) :: before
    when choice + 1 < of_so_many
         && (choice > 0 || List.length (List.filter (fun (c, _) -> c > 0) before) < most) ->
      Some (List.rev_append (List.map fst before) [ choice + 1 ])
  | _ :: before -> next most before

(* The number of orders; [make ()] is the threads of one run, and what holds after it. *)
let check_all ?(most = max_int) make =
  let rec go choices count =
    let threads, check = make () in
    let made = run threads choices in
    check ();
    match next most made with Some choices -> go choices (count + 1) | None -> count + 1
  in
  go [] 0
