module Q = Models.Queue
module Values = Map.Make (String)

type op = (Q.operation, Q.result) History.operation

let describe (op : op) = History.describe ~operation:Q.pp_operation ~result:Q.pp_result op

let enqueued history =
  let add values (op : op) =
    match (op.operation, op.outcome) with
    | Enqueue value, (Unknown | Returned _) ->
        if Values.mem value values then
          Printf.ksprintf invalid_arg
            "Queues.check: two operations enqueue %s: give each operation its own value" value;
        Values.add value op values
    | Enqueue _, Failed | Dequeue, _ -> values
  in
  List.fold_left add Values.empty history

let dequeued history =
  let add (op : op) values =
    match op.outcome with
    | Returned { result = Dequeued (Some value); _ } -> Values.add_to_list value op values
    | Returned { result = Dequeued None | Enqueued; _ } | Failed | Unknown -> values
  in
  List.fold_right add history Values.empty

(* The dequeues of values that no operation can have enqueued by then. *)
let unexpected enqueued dequeued =
  let is_bad value (op : op) =
    match (Values.find_opt value enqueued, op.outcome) with
    | Some (origin : op), Returned { at; _ } -> origin.invoked > at
    | _ -> true
  in
  let of_value (value, ops) = List.filter (is_bad value) ops in
  List.concat_map of_value (Values.bindings dequeued)

let check history =
  let history = History.sort history in
  let enqueued = enqueued history and dequeued = dequeued history in
  let twice = List.filter (fun (_, ops) -> List.length ops > 1) (Values.bindings dequeued) in
  let unexpected = unexpected enqueued dequeued in
  let returned (op : op) = match op.outcome with Returned _ -> true | Failed | Unknown -> false in
  let missing value op = returned op && not (Values.mem value dequeued) in
  let missing = List.map snd (Values.bindings (Values.filter missing enqueued)) in
  let is_empty (op : op) =
    match op.outcome with Returned { result = Dequeued None; _ } -> true | _ -> false
  in
  let empty = List.filter is_empty history in
  let lost, remaining =
    List.partition (fun op -> List.exists (History.precedes op) empty) missing
  in
  let is_unknown (op : op) =
    match (op.operation, op.outcome) with Dequeue, Unknown -> true | _ -> false
  in
  let unknown = List.length (List.filter is_unknown history) in
  if twice <> [] then
    Verdict.Invalid
      (Printf.sprintf "%d values were dequeued more than once:%s" (List.length twice)
         (Report.lines describe (List.concat_map snd twice)))
  else if unexpected <> [] then
    Verdict.Invalid
      (Printf.sprintf "%d values were dequeued, but not enqueued by then:%s"
         (List.length unexpected)
         (Report.lines describe unexpected))
  else if List.length lost > unknown then
    Verdict.Invalid
      (Printf.sprintf
         "%d values were lost before the queue was empty; %d dequeues had an unknown outcome:%s"
         (List.length lost) unknown (Report.lines describe lost))
  else if remaining <> [] then
    Verdict.Undecided
      (Printf.sprintf
         "%d values were enqueued and not dequeued: dequeue at the end until the queue is empty:%s"
         (List.length remaining)
         (Report.lines ~max:3 describe remaining))
  else Verdict.Valid
