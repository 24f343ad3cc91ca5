(* Histories for the tests: written by hand, and of a correct object. *)
open Soil_sim_checkers

let returned client invoked at operation result =
  { History.client; operation; invoked; outcome = Returned { at; result } }

let unknown client invoked operation =
  { History.client; operation; invoked; outcome = History.Unknown }

let failed client invoked operation =
  { History.client; operation; invoked; outcome = History.Failed }

(* Each client's operations one after another, at the same times as the others'. *)
let sessions clients =
  let of_client client operations =
    List.mapi (fun i (o, r) -> returned client (10 * i) ((10 * i) + 5) o r) operations
  in
  History.sort (List.concat (List.mapi of_client clients))

module R = Models.Register

let read key value = (R.Read key, R.Value value)
let write key value = (R.Write { key; value }, R.Done)
let swap key expected value done_ = (R.Compare_and_set { key; expected; value }, R.Swapped done_)

let kind = function
  | Verdict.Valid -> "valid"
  | Verdict.Invalid _ -> "invalid"
  | Verdict.Undecided _ -> "undecided"

let expect kind_ name verdict =
  if kind verdict <> kind_ then
    Alcotest.failf "%s: expected %s, not %s" name kind_ (Verdict.to_string verdict)

let valid name = expect "valid" name
let invalid name = expect "invalid" name
let undecided name = expect "undecided" name

let contains text part =
  let n = String.length part in
  let rec at i = i + n <= String.length text && (String.sub text i n = part || at (i + 1)) in
  at 0

(* That the text of an invalid history has [parts]. *)
let invalid_with name parts = function
  | Verdict.Invalid why ->
      List.iter
        (fun part ->
          if not (contains why part) then Alcotest.failf "%s: no %S in: %s" name part why)
        parts
  | verdict -> invalid name verdict

let refused name message f =
  Alcotest.check_raises name (Invalid_argument message) (fun () -> ignore (f ()))

(* Operations of [clients], each with the time at which it takes effect. An operation has no effect
   at all in one of 16 cases. Half of these, and others, have an unknown outcome. *)
let plan random ~clients ~count operation =
  let time = Array.make clients 0 in
  let pause () = Generate.int random 20 in
  let one _ =
    let client = Generate.int random clients in
    let invoked = time.(client) + pause () in
    let point = invoked + pause () in
    let at = point + pause () in
    time.(client) <- at;
    (client, invoked, point, at, operation (), Generate.int random 16)
  in
  List.init count one
  |> List.stable_sort (fun (_, _, p, _, _, _) (_, _, q, _, _, _) -> Int.compare p q)

(* The history of a correct object that executes the operations of a {!plan}. *)
let execute plan perform =
  let one (client, invoked, _, at, operation, chance) =
    match chance with
    | 0 -> failed client invoked operation
    | 1 -> unknown client invoked operation
    | 2 ->
        ignore (perform operation);
        unknown client invoked operation
    | _ -> returned client invoked at operation (perform operation)
  in
  History.sort (List.map one plan)

let perform_register () =
  let values = Hashtbl.create 16 in
  let find = Hashtbl.find_opt values in
  function
  | R.Read key -> R.Value (find key)
  | R.Write { key; value } ->
      Hashtbl.replace values key value;
      R.Done
  | R.Delete key ->
      Hashtbl.remove values key;
      R.Done
  | R.Compare_and_set { key; expected; value } ->
      let swaps = find key = expected in
      if swaps then Hashtbl.replace values key value;
      R.Swapped swaps

let perform_queue () =
  let queue = Queue.create () in
  function
  | Models.Queue.Enqueue value ->
      Queue.push value queue;
      Models.Queue.Enqueued
  | Models.Queue.Dequeue -> Models.Queue.Dequeued (Queue.take_opt queue)

let perform_counter () =
  let count = ref 0 in
  function
  | Models.Counter.Add n ->
      count := !count + n;
      Models.Counter.Done
  | Models.Counter.Read -> Models.Counter.Count !count

(* Operations on [keys] registers; with [distinct] values, and then no deletions. *)
let register_operation ?(distinct = false) ?(swaps = true) random ~keys =
  let unique = Generate.unique () in
  fun () ->
    let key = Printf.sprintf "k%d" (Generate.int random keys) in
    let value () = if distinct then unique () else string_of_int (Generate.int random 3) in
    let expected () = if Generate.bool random then Some (value ()) else None in
    match Generate.int random 8 with
    | 0 when not distinct -> R.Delete key
    | 1 when swaps -> R.Compare_and_set { key; expected = expected (); value = value () }
    | 0 | 1 | 2 | 3 -> R.Write { key; value = value () }
    | _ -> R.Read key

let property ?(count = 200) name holds =
  Alcotest.test_case name `Quick (fun () ->
      QCheck2.Test.check_exn
        (QCheck2.Test.make ~count ~name ~print:string_of_int QCheck2.Gen.int holds))

let case name f = Alcotest.test_case name `Quick f

let holds verdict =
  match verdict with
  | Verdict.Valid -> true
  | _ -> QCheck2.Test.fail_report (Verdict.to_string verdict)
