module Elements = Map.Make (String)
module Strings = Set.Make (String)

type operation = Add of string | Read
type result = Added | Elements of string list

type report = {
  lost : string list;
  stale : string list;
  never_read : string list;
  duplicated : string list;
  unexpected : string list;
}

type op = (operation, result) History.operation
type read = { read : op; at : int; elements : Strings.t; list : string list }

let reads history =
  let of_op (op : op) =
    match (op.operation, op.outcome) with
    | Read, Returned { result = Elements list; at } ->
        Some { read = op; at; elements = Strings.of_list list; list }
    | Read, (Returned { result = Added; _ } | Failed | Unknown) | Add _, _ -> None
  in
  List.filter_map of_op history

let additions history =
  let add additions (op : op) =
    match (op.operation, op.outcome) with
    | Add element, (Unknown | Returned _) ->
        if Elements.mem element additions then
          Printf.ksprintf invalid_arg
            "Sets.check: two operations add %s: give each addition its own element" element;
        Elements.add element op additions
    | Add _, Failed | Read, _ -> additions
  in
  List.fold_left add Elements.empty history

type fate = Lost | Stale | Never_read

(* The bad fate, if any, of an element that [op] added. The reads are in the order of invocation. *)
let fate reads element (op : op) =
  let returned = match op.outcome with Returned _ -> true | Failed | Unknown -> false in
  let contains { elements; _ } = Strings.mem element elements in
  let present = List.filter contains reads in
  let read_at = List.fold_left (fun first { at; _ } -> Int.min first at) max_int present in
  let is_late r = (not (contains r)) && (History.precedes op r.read || read_at < r.read.invoked) in
  let latest = List.fold_left (fun latest { read; _ } -> Int.max latest read.invoked) (-1) in
  match List.filter is_late reads with
  | [] -> if present = [] && returned then Some Never_read else None
  | absent -> if latest absent > latest present then Some Lost else Some Stale

let duplicates { list; _ } =
  let rec go = function
    | a :: (b :: _ as rest) -> if String.equal a b then a :: go rest else go rest
    | [ _ ] | [] -> []
  in
  go (List.sort String.compare list)

let is_expected additions { at; _ } element =
  match Elements.find_opt element additions with
  | Some (op : op) -> op.invoked <= at
  | None -> false

let examine history =
  let history = History.sort history in
  let reads = reads history and additions = additions history in
  let fates = Elements.filter_map (fate reads) additions in
  let with_fate f = List.map fst (Elements.bindings (Elements.filter (fun _ g -> f = g) fates)) in
  let in_reads f = Strings.elements (Strings.of_list (List.concat_map f reads)) in
  let unexpected r =
    List.filter (fun e -> not (is_expected additions r e)) (Strings.elements r.elements)
  in
  let acknowledged op = match op.History.outcome with Returned _ -> true | _ -> false in
  ( {
      lost = with_fate Lost;
      stale = with_fate Stale;
      never_read = with_fate Never_read;
      duplicated = in_reads duplicates;
      unexpected = in_reads unexpected;
    },
    List.length (List.filter (fun (_, op) -> acknowledged op) (Elements.bindings additions)) )

let report history = fst (examine history)

let check ?(stale = false) history =
  let report, acknowledged = examine history in
  let part name elements =
    if elements = [] then None
    else Some (Printf.sprintf "%d %s: %s" (List.length elements) name (Report.names elements))
  in
  let wrong =
    [
      part "lost" report.lost;
      (if stale then None else part "stale" report.stale);
      part "duplicated" report.duplicated;
      part "unexpected" report.unexpected;
    ]
  in
  match List.filter_map Fun.id wrong with
  | [] ->
      if acknowledged > 0 && List.length report.never_read = acknowledged then
        Verdict.Undecided
          (Printf.sprintf
             "none of the %d elements that were added is in a read; read after the additions"
             acknowledged)
      else Verdict.Valid
  | wrong -> Verdict.Invalid ("elements of the set: " ^ String.concat "; " wrong)
