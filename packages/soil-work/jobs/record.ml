type state = Waiting | Running | Dead | Done

type t = {
  state : state;
  priority : int;
  attempt : int;
  due : float;
  written : float;
  key : string;
  error : string;
  payload : string;
}

(* The name and the version of the form. The first one has no [written]. *)
let magic = "job2"
let first_magic = "job1"
let word = function Waiting -> "waiting" | Running -> "running" | Dead -> "dead" | Done -> "done"

let state = function
  | "waiting" -> Some Waiting
  | "running" -> Some Running
  | "dead" -> Some Dead
  | "done" -> Some Done
  | _ -> None

let to_string r =
  let microseconds time = int_of_float (time *. 1e6) in
  let numbers =
    [
      r.priority;
      r.attempt;
      microseconds r.due;
      microseconds r.written;
      String.length r.key;
      String.length r.error;
    ]
  in
  let line = String.concat " " (magic :: word r.state :: List.map string_of_int numbers) in
  String.concat "" [ line; "\n"; r.key; r.error; r.payload ]

let parts text ~start key error =
  let rest = String.length text - start in
  if key < 0 || error < 0 || key > rest || error > rest - key then None
  else
    let sub from length = String.sub text (start + from) length in
    Some (sub 0 key, sub key error, sub (key + error) (rest - key - error))

let parse text =
  let ( let* ) = Option.bind in
  let* line = String.index_opt text '\n' in
  let fields =
    match String.split_on_char ' ' (String.sub text 0 line) with
    | [ name; state; priority; attempt; due; key; error ] when name = first_magic ->
        [ magic; state; priority; attempt; due; "0"; key; error ]
    | fields -> fields
  in
  match fields with
  | [ name; state_word; priority; attempt; due; written; key; error ] when name = magic ->
      let* state = state state_word in
      let* priority = int_of_string_opt priority in
      let* attempt = int_of_string_opt attempt in
      let* due = int_of_string_opt due in
      let* written = int_of_string_opt written in
      let* key = int_of_string_opt key in
      let* error = int_of_string_opt error in
      let* key, error, payload = parts text ~start:(line + 1) key error in
      let due = float due /. 1e6 and written = float written /. 1e6 in
      Some { state; priority; attempt; due; written; key; error; payload }
  | _ -> None

let of_string ~subject text =
  match parse text with
  | Some r -> r
  | None ->
      Soil.Error.fail Corrupt "jobs" ~subject
        ~detail:"it isn't a record of a job: delete it, or restore the store"
