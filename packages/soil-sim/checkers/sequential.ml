module Keys = Map.Make (String)
module Clients = Map.Make (Int)

(* All keys as one object. *)
module Product (M : Models.MODEL) = struct
  type operation = M.operation
  type result = M.result
  type state = M.state Keys.t

  let initial = Keys.empty

  let step state operation result =
    let key = M.key operation in
    let before = Option.value ~default:M.initial (Keys.find_opt key state) in
    let put after =
      if M.equal after M.initial then Keys.remove key state else Keys.add key after state
    in
    List.map put (M.step before operation result)

  let equal = Keys.equal M.equal

  let hash state =
    Keys.fold (fun key state hash -> (31 * hash) + Hashtbl.hash key + M.hash state) state 0

  let key _ = ""
  let pp_operation = M.pp_operation
  let pp_result = M.pp_result
end

(* The operations that returned, with the number of the client and the position among the client's
   operations; the unknown ones with the number of operations before them. *)
let positions history =
  let number clients client =
    match Clients.find_opt client clients with
    | Some entry -> entry
    | None -> (Clients.cardinal clients, 0)
  in
  let add (clients, certain, optional) (op : _ History.operation) =
    let client, count = number clients op.client in
    let put count = Clients.add op.client (client, count) clients in
    match op.outcome with
    | Failed -> (clients, certain, optional)
    | Unknown -> (put count, certain, (op, client, count) :: optional)
    | Returned { result; _ } -> (put (count + 1), (op, result, client, count) :: certain, optional)
  in
  let clients, certain, optional =
    List.fold_left add (Clients.empty, [], []) (History.sort history)
  in
  (Clients.cardinal clients, Array.of_list (List.rev certain), Array.of_list (List.rev optional))

let search (type o r) ~budget (module M : Models.MODEL with type operation = o and type result = r)
    history =
  let clients, certain, optional = positions history in
  let module P = Product (M) in
  let by_client = Array.make clients [] in
  for i = Array.length certain - 1 downto 0 do
    let _, _, client, _ = certain.(i) in
    by_client.(client) <- i :: by_client.(client)
  done;
  let by_client = Array.map Array.of_list by_client in
  (* A set is the number of each client's operations in it. The earliest operation comes first. *)
  let next placed =
    let candidate client count =
      if count < Array.length by_client.(client) then
        let after = List.mapi (fun c n -> if c = client then n + 1 else n) placed in
        Some (by_client.(client).(count), after)
      else None
    in
    List.mapi candidate placed |> List.filter_map Fun.id
    |> List.sort (fun (i, _) (j, _) -> Int.compare i j)
  in
  let problem : (o, r) Search.problem =
    {
      certain = Array.map (fun ((op : _ History.operation), r, _, _) -> (op.operation, r)) certain;
      optional = Array.map (fun ((op : _ History.operation), _, _) -> op.operation) optional;
      start = List.init clients (fun _ -> 0);
      next;
      ready =
        (fun placed u ->
          let _, client, count = optional.(u) in
          List.nth placed client >= count);
      stands_in =
        (fun u v ->
          let _, client, _ = optional.(u) and _, other, _ = optional.(v) in
          client = other);
    }
  in
  match Search.run ~budget (module P) problem with
  | Found -> Verdict.Valid
  | Stuck { placed; blocked } ->
      let describe i =
        let op, _, _, _ = certain.(i) in
        "\n  " ^ History.describe ~operation:M.pp_operation ~result:M.pp_result op
      in
      Verdict.Invalid
        (Printf.sprintf
           "not sequentially consistent: at most %d of %d operations that returned have an order, \
            and none of these can follow:%s"
           (List.length placed) (Array.length certain)
           (String.concat "" (List.map describe (List.filteri (fun i _ -> i < 8) blocked))))
  | Exhausted longest ->
      Verdict.Undecided
        (Printf.sprintf
           "sequential consistency: %d steps ordered %d of %d operations that returned; raise the \
            budget, or check a shorter run of fewer clients"
           budget longest (Array.length certain))

let check ?(budget = 1_000_000) model history =
  match Linearizable.check ~budget model history with
  | Valid -> Verdict.Valid
  | Invalid _ | Undecided _ -> search ~budget model history
