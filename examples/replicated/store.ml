module Keys = Map.Make (String)
module Numbers = Map.Make (Int)

type session = {
  sequence : int;  (** Of the latest command; 0 before the first. *)
  result : Command.result;  (** Of that command. *)
  used : int;  (** The index of the entry that used the session last. *)
}

(* [uses] has the sessions by their last use, the oldest one first. *)
type t = { values : string Keys.t; sessions : session Numbers.t; uses : int Numbers.t }

let empty = { values = Keys.empty; sessions = Numbers.empty; uses = Numbers.empty }
let find s key = Keys.find_opt key s.values

(* Operations *)

let bind s key value =
  if String.length key > Command.max_key || String.length value > Command.max_value then None
  else Some { s with values = Keys.add key value s.values }

let put s key value result =
  match bind s key value with Some s -> (s, result) | None -> (s, Command.Too_large)

let remove s key = { s with values = Keys.remove key s.values }

let operate s : Command.operation -> t * Command.result = function
  | Get key -> (s, Value (find s key))
  | Put (key, value) -> put s key value Done
  | Delete key -> (remove s key, Existed (Keys.mem key s.values))
  | Append (key, value) -> put s key (Option.value (find s key) ~default:"" ^ value) Done
  | Compare_and_set { key; expected; value } -> (
      if find s key <> expected then (s, Swapped false)
      else
        match value with
        | Some value -> put s key value (Swapped true)
        | None -> (remove s key, Swapped true))

(* Sessions *)

let max_sessions = 10_000

let set_session s number session =
  let uses =
    match Numbers.find_opt number s.sessions with
    | Some before -> Numbers.remove before.used s.uses
    | None -> s.uses
  in
  {
    s with
    sessions = Numbers.add number session s.sessions;
    uses = Numbers.add session.used number uses;
  }

let drop_oldest s =
  let used, number = Numbers.min_binding s.uses in
  { s with sessions = Numbers.remove number s.sessions; uses = Numbers.remove used s.uses }

let open_session s index =
  let s = if Numbers.cardinal s.sessions >= max_sessions then drop_oldest s else s in
  set_session s index { sequence = 0; result = Done; used = index }

let apply s ~index : Command.t -> t * Command.result = function
  | Open_session -> (open_session s index, Session index)
  | Plain operation -> operate s operation
  | Once { session; sequence; operation } -> (
      match Numbers.find_opt session s.sessions with
      | None -> (s, No_session)
      | Some { sequence = latest; _ } when sequence < latest -> (s, Old_sequence)
      | Some { sequence = latest; result; _ } when sequence = latest -> (s, result)
      | Some _ ->
          let s, result = operate s operation in
          (set_session s session { sequence; result; used = index }, result))

(* Snapshots *)

open Wire

let binding b (key, value) =
  string b key;
  string b value

let to_binding i =
  let key = to_string i in
  (key, to_string i)

let numbered b (number, session) =
  List.iter (int b) [ number; session.sequence; session.used ];
  Command.result b session.result

let to_numbered i =
  let number = to_int i in
  let sequence = to_int i in
  let used = to_int i in
  (number, { sequence; used; result = Command.to_result i })

let encoder b s =
  list binding b (Keys.bindings s.values);
  list numbered b (Numbers.bindings s.sessions)

let decoder i =
  let values = Keys.of_seq (List.to_seq (to_list to_binding i)) in
  let sessions = to_list to_numbered i in
  List.fold_left
    (fun s (number, session) -> set_session s number session)
    { empty with values } sessions

let save = encode encoder
let load = decode decoder
