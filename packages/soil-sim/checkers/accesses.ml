module R = Models.Register

type access = {
  op : (R.operation, R.result) History.operation;
  key : string;
  value : string option;
  is_write : bool;
  is_certain : bool;
}

type t = { accesses : access array; source : int option array }

let describe access = History.describe ~operation:R.pp_operation ~result:R.pp_result access.op
let refuse checker fmt = Printf.ksprintf (fun why -> invalid_arg (checker ^ ".check: " ^ why)) fmt

let of_operation checker (op : (R.operation, R.result) History.operation) =
  let read key value = { op; key; value; is_write = false; is_certain = true } in
  let write ?(is_certain = true) key value =
    { op; key; value = Some value; is_write = true; is_certain }
  in
  match (op.operation, op.outcome) with
  | Read key, Returned { result = Value value; _ } -> [ read key value ]
  | Write { key; value }, Returned { result = Done; _ } -> [ write key value ]
  | (Write { key; value } | Compare_and_set { key; value; _ }), Unknown ->
      [ write ~is_certain:false key value ]
  | Compare_and_set { key; expected; value }, Returned { result = Swapped true; _ } ->
      [ read key expected; write key value ]
  | Compare_and_set _, Returned { result = Swapped false; _ } | Read _, Unknown | _, Failed -> []
  | Delete key, (Returned _ | Unknown) ->
      refuse checker "an operation deletes key %s: check a history without deletions" key
  | (Read _ | Write _ | Compare_and_set _), Returned { result; _ } ->
      refuse checker "%s has the result %s of another operation" (R.pp_operation op.operation)
        (R.pp_result result)

let attempts_that_failed history =
  let failed = Hashtbl.create 16 in
  let add (op : (R.operation, R.result) History.operation) =
    match (op.operation, op.outcome) with
    | (Write { key; value } | Compare_and_set { key; value; _ }), Failed ->
        Hashtbl.replace failed (key, Some value) ()
    | _, (Failed | Unknown | Returned _) -> ()
  in
  List.iter add history;
  failed

let of_history ~checker history =
  let history = History.sort history in
  let accesses = Array.of_list (List.concat_map (of_operation checker) history) in
  let values access = (access.key, access.value) in
  let writes = Hashtbl.create 64 in
  let add i access =
    if access.is_write then (
      if Hashtbl.mem writes (values access) then
        refuse checker "two operations write %s to key %s: give each write its own value"
          (Option.get access.value) access.key;
      Hashtbl.add writes (values access) i)
  in
  Array.iteri add accesses;
  let source access = if access.is_write then None else Hashtbl.find_opt writes (values access) in
  let source = Array.map source accesses in
  let is_thin i access =
    (not access.is_write) && Option.is_some access.value && Option.is_none source.(i)
  in
  let thin = List.filteri is_thin (Array.to_list accesses) in
  let failed = attempts_that_failed history in
  let line access =
    let origin = if Hashtbl.mem failed (values access) then "its write failed" else "unwritten" in
    Printf.sprintf "%s (%s)" (describe access) origin
  in
  if thin = [] then Ok { accesses; source }
  else Error ("reads of values that no operation can have written:" ^ Report.lines line thin)
