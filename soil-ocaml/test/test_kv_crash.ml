(* [Soil.Kv], of which small values are in logs and others are files, on a disk that tears, loses and
   refuses what isn't synced, and in a machine that stops at any operation. *)
module F = Fake_files
module Kv = Kv_on_fake
module Model = Map.Make (String)

let random = Random.State.make [| 99 |]
let below n = Random.State.int random n
let names = [| "/a"; "/b"; "/c"; "/d/x"; "/d/y" |]
let key = Kv.Key.v
let connect () = match Kv.connect "/" with Ok t -> t | Error e -> failwith (Kv.error_to_string e)

type step = Set of string * string | Remove of string | Remove_d | Rename of string * string

(* Each value is another one; some are large, and have files. *)
let step n =
  let name () = names.(below (Array.length names)) in
  match below 20 with
  | 0 | 1 | 2 -> Remove (name ())
  | 3 -> Remove_d
  | 4 | 5 | 6 | 7 | 8 | 9 -> Rename (name (), name ())
  | _ ->
      let length = if below 3 = 0 then 5000 else below 50 in
      Set (name (), Printf.sprintf "%d %s" n (String.make length 'v'))

let perform t = function
  | Set (name, value) -> Kv.set t (key name) value
  | Remove name -> Kv.remove t (key name)
  | Remove_d -> Kv.remove t (key "/d")
  | Rename (a, b) -> Kv.rename t ~source:(key a) ~dest:(key b)

let has_source now = function
  | Set _ -> true
  | Remove name | Rename (name, _) -> Model.mem name now
  | Remove_d -> Model.mem "/d/x" now || Model.mem "/d/y" now

let changed now step =
  match step with
  | Set (name, value) -> Model.add name value now
  | Remove name -> Model.remove name now
  | Remove_d -> Model.remove "/d/x" (Model.remove "/d/y" now)
  | Rename (a, b) -> if a = b then now else Model.add b (Model.find a now) (Model.remove a now)

let touched = function
  | Set (name, _) | Remove name -> [ name ]
  | Remove_d -> [ "/d/x"; "/d/y" ]
  | Rename (a, b) -> if a = b then [] else [ a; b ]

type store = {
  mutable t : Kv.t;
  mutable now : string Model.t;
  mutable possible : string option list Model.t;  (** After a crash. *)
  mutable uncertain : string option list Model.t;  (** Of it what changes that failed may leave. *)
  mutable kept : string list;  (** Values that were durable, and since then at most renamed. *)
}

let values all name = Option.value (Model.find_opt name all) ~default:[]
let add all name more = Model.add name (more @ values all name) all
let is_some_of all name value = List.mem value (values all name)

let only_now store =
  let one all name =
    Model.add name (Model.find_opt name store.now :: values store.uncertain name) all
  in
  store.possible <- Array.fold_left one Model.empty names;
  let is_certain name _ = values store.uncertain name = [] in
  store.kept <- List.map snd (Model.bindings (Model.filter is_certain store.now))

(* A change of [name] may stay, and what has moved its value away before may not. *)
let lose store name =
  store.kept <- List.filter (fun v -> not (is_some_of store.possible name (Some v))) store.kept

let rec expect store step =
  match step with
  | Remove_d -> List.iter (fun name -> expect store (Remove name)) (touched step)
  | Set (name, value) ->
      lose store name;
      store.possible <- add store.possible name [ Some value ]
  | Remove name ->
      lose store name;
      store.possible <- add store.possible name [ None ]
  | Rename (a, b) ->
      if a <> b then (
        lose store b;
        let moved = List.filter (( <> ) None) (values store.possible a) in
        store.possible <- add (add store.possible b moved) a [ None ])

let contents t =
  let one all name =
    match Kv.get t (key name) with
    | Ok value -> Model.add name value all
    | Error (`Not_found _) -> all
    | Error e -> Alcotest.failf "get %s: %s" name (Kv.error_to_string e)
  in
  Array.fold_left one Model.empty names

let listed t dictionary =
  match Kv.list t (key dictionary) with
  | Ok found ->
      List.filter_map
        (fun (key, kind) -> if kind = `Value then Some (Kv.Key.to_string key) else None)
        found
  | Error (`Not_found _) -> []
  | Error e -> Alcotest.failf "list %s: %s" dictionary (Kv.error_to_string e)

let short = function None -> "nothing" | Some v -> String.sub v 0 (min 10 (String.length v))

let check_possible store t what found =
  let check name =
    let value = Model.find_opt name found in
    if not (is_some_of store.possible name value) then
      Alcotest.failf "%s: %s is bound to %s, and not to one of %s" what name (short value)
        (String.concat ", " (List.map short (values store.possible name)))
  in
  Array.iter check names;
  Alcotest.(check (list string))
    (what ^ ": listed")
    (List.map fst (Model.bindings found))
    (List.sort compare (listed t "/" @ listed t "/d"))

(* The names in the dictionaries of [step]: their logs have been repaired. *)
let forget_uncertain store step =
  let dictionaries = List.map Filename.dirname (touched step) in
  let stays name _ = not (List.mem (Filename.dirname name) dictionaries) in
  store.uncertain <- Model.filter stays store.uncertain

let make store t step =
  if has_source store.now step then (
    expect store step;
    match perform t step with
    | Ok () ->
        store.now <- changed store.now step;
        forget_uncertain store step
    | Error (`Failed _ | `No_space) ->
        F.failures := [];
        let found = contents t in
        check_possible store t "failed" found;
        let one name =
          lose store name;
          store.uncertain <- add store.uncertain name (values store.possible name)
        in
        List.iter one (touched step);
        store.now <- found
    | Error e -> Alcotest.fail (Kv.error_to_string e))

let some_failure () =
  let extent = match below 3 with 0 -> F.All | 1 -> Part (below 300) | _ -> None_of_it in
  let failure = if below 2 = 0 then F.Fails extent else Stops extent in
  F.failures := List.init (below 12) (fun _ -> None) @ [ Some failure ]

(* Any of the changes since the last sync are there, and some of them in part. *)
let crash store =
  let kept disk change =
    match below 8 with
    | 0 | 1 -> disk
    | 2 -> F.apply disk (F.first (below 200) change)
    | _ -> F.apply disk change
  in
  F.restart (List.fold_left kept !F.synced (List.rev !F.changes));
  store.t <- connect ();
  let found = contents store.t in
  check_possible store store.t "after a crash" found;
  let is_bound v = Model.exists (fun _ other -> other = v) found in
  List.iter
    (fun v ->
      if not (is_bound v) then Alcotest.failf "%s was renamed, and is lost" (short (Some v)))
    store.kept;
  store.now <- found;
  store.uncertain <- Model.empty;
  only_now store

let one_or_several store n =
  if below 3 > 0 then (
    let before = store.now in
    let step = step n in
    make store store.t step;
    if has_source before step && store.now = changed before step && not (Model.is_empty before) then
      only_now store)
  else
    match
      Kv.batch store.t (fun t ->
          for i = 1 to 1 + below 6 do
            make store t (step ((1000 * n) + i))
          done)
    with
    | () -> only_now store
    | exception Soil.Error { code = Io; _ } -> F.failures := []

let run () =
  for _ = 1 to 2000 do
    F.reset ();
    let store =
      {
        t = connect ();
        now = Model.empty;
        possible = Model.empty;
        uncertain = Model.empty;
        kept = [];
      }
    in
    only_now store;
    for n = 1 to 40 do
      if below 5 = 0 then some_failure ();
      (match one_or_several store n with () -> () | exception F.Stopped -> crash store);
      if below 12 = 0 then crash store
    done
  done

let tests = [ Alcotest.test_case "crashes and failures" `Quick (Test_kv_log.in_run run) ]
