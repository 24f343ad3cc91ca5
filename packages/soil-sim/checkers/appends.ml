module Keys = Map.Make (String)
module Strings = Set.Make (String)

type operation = Append of { key : string; element : string } | Read of string
type result = Appended | List of string list
type op = (operation, result) History.operation
type read = { op : op; at : int; list : string list; elements : Strings.t }

(* Of one key, in the order of invocation. *)
type accesses = { reads : read list; appends : op Keys.t }

exception Bad of string

let bad fmt = Printf.ksprintf (fun why -> raise_notrace (Bad why)) fmt

let pp_operation = function
  | Append { key; element } -> Printf.sprintf "append %s to %s" element key
  | Read key -> "read " ^ key

(* The last elements of long lists. *)
let pp_result = function
  | Appended -> "appended"
  | List list ->
      let before = List.length list - 12 in
      let shown = String.concat " " (List.filteri (fun i _ -> i >= before) list) in
      if before > 0 then Printf.sprintf "[%d others, %s]" before shown
      else Printf.sprintf "[%s]" shown

let describe op = History.describe ~operation:pp_operation ~result:pp_result op
let lines = Report.lines describe

let by_key history =
  let add (op : op) keys =
    let update key f =
      let accesses = Keys.find_opt key keys in
      Keys.add key (f (Option.value accesses ~default:{ reads = []; appends = Keys.empty })) keys
    in
    match (op.operation, op.outcome) with
    | Append { key; element }, (Returned _ | Unknown) ->
        update key @@ fun accesses ->
        if Keys.mem element accesses.appends then
          Printf.ksprintf invalid_arg
            "Appends.check: two operations append %s to %s: give each append its own element"
            element key;
        { accesses with appends = Keys.add element op accesses.appends }
    | Read key, Returned { at; result = List list } ->
        update key @@ fun accesses ->
        let read = { op; at; list; elements = Strings.of_list list } in
        { accesses with reads = read :: accesses.reads }
    | Append _, Failed | Read _, (Returned { result = Appended; _ } | Failed | Unknown) -> keys
  in
  List.fold_right add (History.sort history) Keys.empty

let forbid_strangers appends { op; at; list; elements } =
  if List.compare_length_with list (Strings.cardinal elements) <> 0 then
    bad "a read contains an element twice:%s" (lines [ op ]);
  let check element =
    match Keys.find_opt element appends with
    | Some (append : op) when append.invoked <= at -> ()
    | Some append ->
        bad "a read contains element %s before its append:%s" element (lines [ op; append ])
    | None ->
        bad "a read contains element %s, which no operation can have appended:%s" element
          (lines [ op ])
  in
  Strings.iter check elements

let rec is_prefix = function
  | [], _ -> true
  | _ :: _, [] -> false
  | a :: rest, b :: others -> String.equal a b && is_prefix (rest, others)

(* Returns a longest read. *)
let forbid_forks reads =
  let longer longest read =
    let short, long =
      if List.compare_lengths read.list longest.list > 0 then (longest, read) else (read, longest)
    in
    if not (is_prefix (short.list, long.list)) then
      bad "neither of two reads is a prefix of the other:%s" (lines [ short.op; long.op ]);
    long
  in
  List.fold_left longer (List.hd reads) reads

let forbid_lost appends read =
  let check element (append : op) =
    if History.precedes append read.op && not (Strings.mem element read.elements) then
      bad "a read lacks element %s, which was appended before:%s" element
        (lines [ append; read.op ])
  in
  Keys.iter check appends

(* Reads are prefixes of each other, so that the length tells which contains more. *)
let forbid_shorter reads =
  let check read =
    let longer other =
      History.precedes other.op read.op && List.compare_lengths other.list read.list > 0
    in
    match List.find_opt longer reads with
    | None -> ()
    | Some other -> bad "a read lacks elements of an earlier one:%s" (lines [ other.op; read.op ])
  in
  List.iter check reads

let forbid_disorder appends list =
  let check (append : op) = function
    | Some later when History.precedes later append ->
        bad "the list has another order than the appends:%s" (lines [ later; append ])
    | first -> first
  in
  let returned (op : op) =
    match op.outcome with Returned { at; _ } -> at | Failed | Unknown -> max_int
  in
  (* The first to return, of the appends of an element and of later ones. *)
  let step element first =
    let append = Keys.find element appends in
    match check append first with
    | Some other when returned other <= returned append -> Some other
    | Some _ | None -> Some append
  in
  ignore (List.fold_right step list None)

let check_key ~real_time key { reads; appends } =
  try
    List.iter (forbid_strangers appends) reads;
    if reads <> [] then (
      let longest = forbid_forks reads in
      let last = List.nth reads (List.length reads - 1) in
      forbid_lost appends last;
      if real_time then (
        List.iter (forbid_lost appends) reads;
        forbid_shorter reads;
        forbid_disorder appends longest.list));
    Verdict.Valid
  with Bad why -> Verdict.Invalid (Printf.sprintf "appends to key %s: %s" key why)

let check ?(real_time = true) history =
  Keys.bindings (by_key history)
  |> List.map (fun (key, accesses) -> check_key ~real_time key accesses)
  |> Verdict.all
