(* The definitions of linearizability and of sequential consistency, by trying each order. *)
open Soil_sim_checkers

let explains (type o r) (module M : Models.MODEL with type operation = o and type result = r)
    ~precedes (history : (o, r) History.t) =
  let is_returned (op : (o, r) History.operation) =
    match op.outcome with Returned _ -> true | Failed | Unknown -> false
  in
  let operations =
    List.filter (fun (op : (o, r) History.operation) -> op.outcome <> Failed) history
  in
  (* The states of keys, each key's newest one first. *)
  let step states operation result =
    let key = M.key operation in
    let state = Option.value ~default:M.initial (List.assoc_opt key states) in
    List.map (fun after -> (key, after) :: states) (M.step state operation result)
  in
  let rec explain remaining state =
    (not (List.exists (fun (_, op) -> is_returned op) remaining))
    || List.exists (begins_with remaining state) remaining
  and begins_with remaining state (i, op) =
    let others = List.filter (fun (j, _) -> i <> j) remaining in
    let result =
      match op.outcome with Returned { result; _ } -> Some result | Failed | Unknown -> None
    in
    (not (List.exists (fun (j, other) -> precedes (j, other) (i, op)) others))
    && List.exists (explain others) (step state op.operation result)
  in
  explain (List.mapi (fun i op -> (i, op)) operations) []

let is_linearizable model history =
  explains model history ~precedes:(fun (_, a) (_, b) -> History.precedes a b)

let is_sequential model history =
  let precedes (i, (a : _ History.operation)) (j, (b : _ History.operation)) =
    match a.outcome with Returned _ -> i < j && a.client = b.client | Failed | Unknown -> false
  in
  explains model history ~precedes
