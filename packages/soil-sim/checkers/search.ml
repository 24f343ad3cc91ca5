type ('o, 'r) problem = {
  certain : ('o * 'r) array;
  optional : 'o array;
  start : int list;
  next : int list -> (int * int list) list;
  ready : int list -> int -> bool;
  stands_in : int -> int -> bool;
}

type outcome = Found | Stuck of { placed : int list; blocked : int list } | Exhausted of int

module Used = Set.Make (Int)

(* For each optional operation the equal ones that stand in for it: they are tried first. *)
let substitutes { optional; stands_in; _ } =
  let equals = Hashtbl.create 16 in
  let of_operation v operation =
    let earlier = Option.value ~default:[] (Hashtbl.find_opt equals operation) in
    Hashtbl.replace equals operation (v :: earlier);
    List.filter (fun u -> stands_in u v) earlier
  in
  Array.mapi of_operation optional

exception End of outcome

(* Each possible order has a normal form with the fewest optional operations, each as late as
   possible, and sorted. Only normal forms are searched: the operation after an optional one needs
   its effect. For that a configuration contains the [last] optional operation, and the state before
   it. *)
let run (type o r) ~budget (module M : Models.MODEL with type operation = o and type result = r)
    (problem : (o, r) problem) =
  let module Configuration = struct
    type t = { placed : int list; state : M.state; last : (int * M.state) option }

    let equal a b =
      List.equal Int.equal a.placed b.placed
      && M.equal a.state b.state
      && Option.equal (fun (u, s) (v, t) -> Int.equal u v && M.equal s t) a.last b.last

    let hash { placed; state; last } =
      let mix hash n = (hash * 486187739) + n in
      let hash = mix (List.fold_left mix 17 placed) (M.hash state) in
      match last with None -> hash | Some (u, s) -> mix (mix hash u) (M.hash s)
  end in
  let module Visited = Hashtbl.Make (Configuration) in
  let visited = Visited.create 1024 in
  (* A visit is in vain if another one with fewer used operations was. *)
  let is_new configuration used =
    let others = Option.value ~default:[] (Visited.find_opt visited configuration) in
    let is_new = not (List.exists (fun other -> Used.subset other used) others) in
    if is_new then
      Visited.replace visited configuration
        (used :: List.filter (fun other -> not (Used.subset used other)) others);
    is_new
  in
  let total = Array.length problem.certain in
  let substitutes = substitutes problem in
  let longest = ref 0 and stuck = ref ([], problem.start) in
  let steps = ref 0 in
  let step state operation result =
    if !steps >= budget then raise_notrace (End (Exhausted !longest));
    incr steps;
    M.step state operation result
  in
  let contains states state = List.exists (M.equal state) states in
  (* Whether [operation], which leads to [state], does so without the optional one before it, or
     also if it comes first. The order of optional operations that may swap is by number. *)
  let is_needless last ~may_swap operation result state =
    match last with
    | None -> false
    | Some (u, before) ->
        let direct = step before operation result in
        let swapped after = contains (step after problem.optional.(u) None) state in
        contains direct state || (may_swap u && List.exists swapped direct)
  in
  let rec visit placed count order state last used =
    if count = total then raise_notrace (End Found);
    if is_new Configuration.{ placed; state; last } used then (
      if count > !longest then (
        longest := count;
        stuck := (order, placed));
      List.iter (place count order state last used) (problem.next placed);
      Array.iteri (insert placed count order state last used) problem.optional)
  and place count order state last used (i, placed) =
    let operation, result = problem.certain.(i) in
    let result = Some result in
    let go_to after =
      if not (is_needless last ~may_swap:(fun _ -> true) operation result after) then
        visit placed (count + 1) (i :: order) after None used
    in
    List.iter go_to (step state operation result)
  and insert placed count order state last used u operation =
    let is_used u = Used.mem u used in
    if (not (is_used u)) && List.for_all is_used substitutes.(u) && problem.ready placed u then
      let go_to after =
        if
          not
            (M.equal after state
            || is_needless last ~may_swap:(fun last -> u < last) operation None after)
        then visit placed count order after (Some (u, state)) (Used.add u used)
      in
      List.iter go_to (step state operation None)
  in
  match visit problem.start 0 [] M.initial None Used.empty with
  | () ->
      let placed, set = !stuck in
      Stuck { placed; blocked = List.map fst (problem.next set) }
  | exception End outcome -> outcome
