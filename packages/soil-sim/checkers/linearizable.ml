module type MODEL = Models.MODEL

module Keys = Map.Make (String)

(* A set of linearized operations, as the search names it: the index of the first operation outside
   of it, and the greater indices inside. Sets of one number of clients have short names. *)
let first_outside = List.hd

let add i = function
  | first :: beyond when i = first ->
      let rec skip first = function
        | next :: rest when next = first -> skip (first + 1) rest
        | beyond -> first :: beyond
      in
      skip (first + 1) beyond
  | first :: beyond -> first :: List.merge Int.compare [ i ] beyond
  | [] -> invalid_arg "Linearizable.add"

(* The operations that no operation outside of the set precedes: they are among those invoked before
   the first return. *)
let next certain placed =
  let rec scan i beyond earlier first_return free =
    if i = Array.length certain then free
    else
      match (beyond, certain.(i)) with
      | j :: beyond, _ when j = i -> scan (i + 1) beyond earlier first_return free
      | _, ((op : _ History.operation), at) ->
          if op.invoked > first_return then free
          else
            let is_free = not (List.exists (fun other -> History.precedes other op) earlier) in
            let free = if is_free then i :: free else free in
            scan (i + 1) beyond (op :: earlier) (Int.min first_return at) free
  in
  scan (first_outside placed) (List.tl placed) [] max_int []
  |> List.rev_map (fun i -> (i, add i placed))

let ready certain (op : _ History.operation) placed =
  let rec scan i beyond =
    if i = Array.length certain then true
    else
      match (beyond, certain.(i)) with
      | j :: beyond, _ when j = i -> scan (i + 1) beyond
      | _, ((other : _ History.operation), _) ->
          other.invoked > op.invoked || ((not (History.precedes other op)) && scan (i + 1) beyond)
  in
  scan (first_outside placed) (List.tl placed)

(* At equal times, unless the client's previous operation may keep [u] from being ready. *)
let stands_in certain unknown =
  let is_tied (op : _ History.operation) =
    Array.exists
      (fun ((other : _ History.operation), at) -> at = op.invoked && other.client = op.client)
      certain
  in
  let tied = Array.map is_tied unknown in
  fun u v ->
    let time i = unknown.(i).History.invoked in
    time u < time v || (time u = time v && not tied.(u))

let split history =
  let returned (op : _ History.operation) =
    match op.outcome with
    | Returned { at; result } -> Some (op, at, (op.operation, result))
    | Failed | Unknown -> None
  in
  let is_unknown (op : _ History.operation) =
    match op.outcome with Unknown -> true | Failed | Returned _ -> false
  in
  let history = History.sort history in
  (Array.of_list (List.filter_map returned history), Array.of_list (List.filter is_unknown history))

let default_budget = 1_000_000

let check_key (type o r) ~budget (module M : MODEL with type operation = o and type result = r)
    (key, history) =
  let returned, unknown = split history in
  let certain = Array.map (fun (op, at, _) -> (op, at)) returned in
  let problem : (o, r) Search.problem =
    {
      certain = Array.map (fun (_, _, step) -> step) returned;
      optional = Array.map (fun (op : (o, r) History.operation) -> op.operation) unknown;
      start = [ 0 ];
      next = next certain;
      ready = (fun placed u -> ready certain unknown.(u) placed);
      stands_in = stands_in certain unknown;
    }
  in
  let on = if key = "" then "" else Printf.sprintf " on key %s" key in
  match Search.run ~budget (module M) problem with
  | Found -> Verdict.Valid
  | Stuck { placed; blocked } ->
      let describe i =
        "\n  " ^ History.describe ~operation:M.pp_operation ~result:M.pp_result (fst certain.(i))
      in
      let lines indices = String.concat "" (List.map describe indices) in
      let last = List.rev (List.filteri (fun i _ -> i < 4) placed) in
      Verdict.Invalid
        (Printf.sprintf
           "not linearizable%s: %d of %d operations that returned have an order%s%s\n\
            and none of these can follow:%s"
           on (List.length placed) (Array.length certain)
           (if last = [] then "" else ", which ends with")
           (lines last)
           (lines (List.filteri (fun i _ -> i < 4) blocked)))
  | Exhausted longest ->
      Verdict.Undecided
        (Printf.sprintf
           "linearizability%s: %d steps ordered %d of %d operations that returned; raise the \
            budget, shorten the run, or use more keys"
           on budget longest (Array.length certain))

let check (type o r) ?(budget = default_budget)
    (module M : MODEL with type operation = o and type result = r) history =
  let add keys (op : (o, r) History.operation) = Keys.add_to_list (M.key op.operation) op keys in
  List.fold_left add Keys.empty (List.rev history)
  |> Keys.bindings
  |> List.map (check_key ~budget (module M : MODEL with type operation = o and type result = r))
  |> Verdict.all
