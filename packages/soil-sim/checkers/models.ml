module type MODEL = sig
  type operation
  type result
  type state

  val initial : state
  val step : state -> operation -> result option -> state list
  val equal : state -> state -> bool
  val hash : state -> int
  val key : operation -> string
  val pp_operation : operation -> string
  val pp_result : result -> string
end

let next_if holds state = if holds then [ state ] else []
let value = Option.value ~default:"nothing"

module Register = struct
  type operation =
    | Read of string
    | Write of { key : string; value : string }
    | Compare_and_set of { key : string; expected : string option; value : string }
    | Delete of string

  type result = Value of string option | Done | Swapped of bool
  type state = string option

  let initial = None

  let step state operation result =
    match (operation, result) with
    | Read _, None -> [ state ]
    | Read _, Some (Value value) -> next_if (Option.equal String.equal state value) state
    | Write { value; _ }, (None | Some Done) -> [ Some value ]
    | Delete _, (None | Some Done) -> [ None ]
    | Compare_and_set { expected; value; _ }, _ -> (
        let swaps = Option.equal String.equal state expected in
        let after = if swaps then Some value else state in
        match result with
        | None -> [ after ]
        | Some (Swapped swapped) -> next_if (swapped = swaps) after
        | Some (Value _ | Done) -> [])
    | Read _, Some (Done | Swapped _) | (Write _ | Delete _), Some (Value _ | Swapped _) -> []

  let equal = Option.equal String.equal
  let hash (state : state) = Hashtbl.hash state
  let key = function Read key | Write { key; _ } | Compare_and_set { key; _ } | Delete key -> key

  let pp_operation = function
    | Read key -> "read " ^ key
    | Write { key; value } -> Printf.sprintf "write %s %s" key value
    | Compare_and_set { key; expected; value = next } ->
        Printf.sprintf "compare-and-set %s %s %s" key (value expected) next
    | Delete key -> "delete " ^ key

  let pp_result = function
    | Value read -> value read
    | Done -> "done"
    | Swapped swapped -> if swapped then "swapped" else "not swapped"
end

module Set = struct
  type operation = Add of string | Remove of string | Contains of string
  type result = Done | Member of bool
  type state = bool

  let initial = false

  let step state operation result =
    match (operation, result) with
    | Add _, (None | Some Done) -> [ true ]
    | Remove _, (None | Some Done) -> [ false ]
    | Contains _, None -> [ state ]
    | Contains _, Some (Member member) -> next_if (member = state) state
    | (Add _ | Remove _), Some (Member _) | Contains _, Some Done -> []

  let equal = Bool.equal
  let hash = Bool.to_int
  let key = function Add element | Remove element | Contains element -> element

  let pp_operation = function
    | Add element -> "add " ^ element
    | Remove element -> "remove " ^ element
    | Contains element -> "contains " ^ element

  let pp_result = function
    | Done -> "done"
    | Member member -> if member then "member" else "not a member"
end

module Queue = struct
  type operation = Enqueue of string | Dequeue
  type result = Enqueued | Dequeued of string option
  type state = string list

  let initial = []

  let step state operation result =
    match (operation, result, state) with
    | Enqueue value, (None | Some Enqueued), _ -> [ state @ [ value ] ]
    | Dequeue, (None | Some (Dequeued None)), [] -> [ [] ]
    | Dequeue, None, _ :: rest -> [ rest ]
    | Dequeue, Some (Dequeued (Some value)), first :: rest ->
        next_if (String.equal value first) rest
    | Enqueue _, Some (Dequeued _), _ | Dequeue, Some (Enqueued | Dequeued _), _ -> []

  let equal = List.equal String.equal
  let hash state = List.fold_left (fun hash value -> (31 * hash) + Hashtbl.hash value) 0 state
  let key _ = ""
  let pp_operation = function Enqueue value -> "enqueue " ^ value | Dequeue -> "dequeue"
  let pp_result = function Enqueued -> "enqueued" | Dequeued dequeued -> value dequeued
end

module Counter = struct
  type operation = Add of int | Read
  type result = Done | Count of int
  type state = int

  let initial = 0

  let step state operation result =
    match (operation, result) with
    | Add n, (None | Some Done) -> [ state + n ]
    | Read, None -> [ state ]
    | Read, Some (Count count) -> next_if (count = state) state
    | Add _, Some (Count _) | Read, Some Done -> []

  let equal = Int.equal
  let hash = Hashtbl.hash
  let key _ = ""
  let pp_operation = function Add n -> Printf.sprintf "add %d" n | Read -> "read"
  let pp_result = function Done -> "done" | Count count -> string_of_int count
end
