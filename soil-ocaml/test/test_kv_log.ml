(* The log of [Soil.Kv] on a disk that tears, loses and refuses what isn't synced. Its segments end
   behind 1 KiB here, so that they are often cleaned. *)
module F = Fake_files
module Files = F.Files
module Model = Map.Make (String)

let random = Random.State.make [| 54 |]
let below n = Random.State.int random n
let is_name name = String.for_all (fun c -> c >= 'a' && c <= 'z') name
let load () = Kv_log.load ~is_name ~limit:max_int "/"

let contents log =
  Seq.fold_left
    (fun found name -> Model.add name (fst (Option.get (Kv_log.read log name))) found)
    Model.empty (Kv_log.after log "")

(* Without the lines about what a crash has left. *)
let quietly f =
  let was = Unix.dup Unix.stderr and null = Unix.openfile "/dev/null" [ O_WRONLY ] 0 in
  Unix.dup2 null Unix.stderr;
  Unix.close null;
  Fun.protect f ~finally:(fun () ->
      flush stderr;
      Unix.dup2 was Unix.stderr;
      Unix.close was)

let in_run f () = quietly (fun () -> Soil.run f)

type step = Set of string * string | Remove of string | Rename of string * string

let names = [| "a"; "b"; "c"; "d"; "e" |]

(* Each value is another one. *)
let step n =
  let name () = names.(below (Array.length names)) in
  match below 10 with
  | 0 | 1 -> Remove (name ())
  | 2 | 3 -> Rename (name (), name ())
  | _ -> Set (name (), Printf.sprintf "%d %s" n (String.make (below 120) 'v'))

let change log = function
  | Set (name, value) -> Kv_log.set log name value
  | Remove name -> Kv_log.remove log name
  | Rename (name, other) -> if name <> other then Kv_log.rename log name other

let changed model = function
  | Set (name, value) -> Model.add name value model
  | Remove name -> Model.remove name model
  | Rename (name, other) -> (
      match Model.find_opt name model with
      | Some value when name <> other -> Model.add other value (Model.remove name model)
      | Some _ | None -> model)

let show model =
  let one (name, v) = name ^ "=" ^ String.sub v 0 (min 8 (String.length v)) in
  String.concat ", " (List.map one (Model.bindings model))

let same what expected found =
  if not (Model.equal String.equal expected found) then
    Alcotest.failf "%s: %s, and not %s" what (show found) (show expected)

let is_unlink = function
  | F.Unlink _ -> true
  | F.Create _ | Write _ | Truncate _ | Rename _ -> false

(* The disk stops in the middle of a write, at each byte: the store is as after the last
   complete step, or the next. *)
let each_byte () =
  F.reset ();
  let log = load () in
  let states = ref [ (0, Model.empty) ] in
  for n = 1 to 150 do
    let step = step n in
    change log step;
    states := (List.length !F.history, changed (snd (List.hd !states)) step) :: !states
  done;
  let history = List.rev !F.history and states = List.rev !states in
  Alcotest.(check bool) "cleaned" true (List.exists is_unlink history);
  let check k disk =
    F.restart disk;
    let found = contents (load ()) in
    let is_done (made, _) = made <= k in
    let before = snd (List.hd (List.rev (List.filter is_done states))) in
    match List.find_opt (fun state -> not (is_done state)) states with
    | Some (_, after) when Model.equal String.equal after found -> ()
    | Some _ | None -> same ("cut in change " ^ string_of_int k) before found
  in
  let next (k, disk) change =
    (match change with
    | F.Write (_, _, part) ->
        for n = 0 to String.length part - 1 do
          check k (F.apply disk (F.first n change))
        done
    | Create _ | Truncate _ | Unlink _ | Rename _ -> check k disk);
    (k + 1, F.apply disk change)
  in
  let k, disk = List.fold_left next (0, Files.empty) history in
  check k disk

(* What a name may be bound to after a restart. *)
type store = {
  mutable log : Kv_log.t;
  mutable now : string Model.t;
  mutable possible : string option list Model.t;
  mutable failed : step list;  (** Since a change has returned. *)
}

let touched = function Set (name, _) | Remove name -> [ name ] | Rename (a, b) -> [ a; b ]

let may_be store model name =
  let more = Option.value (Model.find_opt name store.possible) ~default:[ None ] in
  store.possible <- Model.add name (Model.find_opt name model :: more) store.possible

let only_now store =
  let one name = (name, [ Model.find_opt name store.now ]) in
  store.possible <- Model.of_seq (Seq.map one (Array.to_seq names))

let some_failures () =
  let one _ =
    match below 4 with
    | 0 -> None
    | 1 -> Some (F.Fails All)
    | 2 -> Some (F.Fails (Part (below 200)))
    | _ -> Some (F.Fails None_of_it)
  in
  List.init (1 + below 4) one

let make store step =
  if below 6 = 0 then F.failures := some_failures ();
  if below 12 = 0 then F.capacity := F.used () + below 400;
  if below 4 = 0 then F.capacity := max_int;
  let next = changed store.now step in
  List.iter (may_be store next) (touched step);
  (match change store.log step with
  | () ->
      if not (Model.equal String.equal store.now next) then store.failed <- [];
      store.now <- next
  | exception Soil.Error { code = Io | No_space; _ } -> store.failed <- step :: store.failed);
  same "in memory" store.now (contents store.log)

let sync store =
  match F.sync_volume () with
  | () ->
      only_now store;
      let failed step = List.iter (may_be store (changed store.now step)) (touched step) in
      List.iter failed store.failed
  | exception Soil.Error _ -> ()

(* Any of the changes since the last sync are there, and some of them in part. *)
let crash store =
  let kept disk change =
    match below 8 with
    | 0 | 1 -> disk
    | 2 -> F.apply disk (F.first (below 200) change)
    | _ -> F.apply disk change
  in
  F.restart (List.fold_left kept !F.synced (List.rev !F.changes));
  F.capacity := max_int;
  store.log <- load ();
  let found = contents store.log in
  let check name =
    let value = Model.find_opt name found in
    if not (List.mem value (Model.find name store.possible)) then
      Alcotest.failf "%s is bound to %s" name (Option.value value ~default:"nothing")
  in
  Array.iter check names;
  same "loaded again" found (contents (load ()));
  store.now <- found;
  store.failed <- [];
  only_now store

let crashes () =
  for _ = 1 to 400 do
    F.reset ();
    let store = { log = load (); now = Model.empty; possible = Model.empty; failed = [] } in
    only_now store;
    for n = 1 to 100 do
      make store (step n);
      if below 3 = 0 then sync store;
      if below 12 = 0 then crash store
    done
  done

(* Each operation of the disk fails once, also while a segment is cleaned, and a value of that is then
   removed: it doesn't come back. *)
let failed_cleaning () =
  let value i = String.make (60 + i) 'v' in
  let one failure n =
    F.reset ();
    let log = load () in
    Kv_log.set log "cold" (value 200);
    let rec heat i =
      if i = 30 then F.failures := List.init n (fun _ -> None) @ [ Some (F.Fails failure) ];
      if i < 30 || (i < 80 && !F.failures <> []) then (
        (try Kv_log.set log "hot" (value i) with Soil.Error { code = Io; _ } -> ());
        heat (i + 1))
    in
    heat 0;
    F.failures := [];
    Kv_log.remove log "cold";
    F.sync_volume ();
    F.restart !F.synced;
    Alcotest.(check bool) "removed" false (Kv_log.mem (load ()) "cold")
  in
  List.iter
    (fun failure ->
      for n = 0 to 40 do
        one failure n
      done)
    [ F.All; Part 100; Part 350; None_of_it ]

let first_segment () = fst (Files.min_binding !F.files)

(* A segment with a value that can't be read any more stays, until its key is set. *)
let damage () =
  F.reset ();
  let log = load () in
  Kv_log.set log "cold" (String.make 300 'c');
  let segment = first_segment () in
  F.make (F.Write (segment, 100, "?"));
  let heat () =
    for i = 1 to 60 do
      Kv_log.set log "hot" (String.make (60 + i) 'h')
    done
  in
  heat ();
  Alcotest.(check bool) "kept" true (Files.mem segment !F.files);
  (match Kv_log.read log "cold" with
  | _ -> Alcotest.fail "a damaged value"
  | exception Soil.Error { code = Corrupt; _ } -> ());
  Kv_log.set log "cold" "again";
  heat ();
  Alcotest.(check bool) "cleaned" false (Files.mem segment !F.files);
  same "all" (contents log) (contents (load ()))

(* What follows a damaged record doesn't count later, either, where the next one ends as the damaged
   one did. *)
let behind_damage () =
  F.reset ();
  let log = load () in
  Kv_log.set log "a" "first";
  let size = F.size (first_segment ()) in
  Kv_log.set log "b" "lost!";
  Kv_log.set log "a" "later";
  F.make (F.Write (first_segment (), size + 11, "\255\255"));
  let log = load () in
  same "cut" (Model.singleton "a" "first") (contents log);
  Kv_log.set log "c" "after";
  let expected = Model.of_seq (List.to_seq [ ("a", "first"); ("c", "after") ]) in
  same "after it" expected (contents (load ()))

(* Files in the place of values: these are gone for good, whatever fails meanwhile. *)
let replaced () =
  let replaced = [ ("/a", F.File); ("/b", Directory); ("/c", Symlink) ] in
  let others = List.map (fun (path, kind) -> F.Create (path, kind)) replaced in
  for n = 0 to 4 do
    F.reset ();
    let log = load () in
    List.iter (fun name -> Kv_log.set log name name) [ "a"; "b"; "c"; "d" ];
    F.sync_volume ();
    let disk = List.fold_left F.apply !F.synced others in
    F.restart disk;
    F.failures := List.init n (fun _ -> None) @ [ Some (F.Fails None_of_it) ];
    (match load () with
    | _ -> F.failures := []
    | exception Soil.Error { code = Io; _ } ->
        F.failures := [];
        ignore (load ());
        (* As at the removal of a file. *)
        F.sync_volume ());
    F.restart !F.synced;
    let expected = Model.of_seq (List.to_seq [ ("c", "c"); ("d", "d") ]) in
    same "with files" expected (contents (load ()));
    F.restart (Files.filter (fun path _ -> not (List.mem_assoc path replaced)) !F.synced);
    same "without them" expected (contents (load ()))
  done

(* A volume without any room, not even for a record, still removes values. *)
let full () =
  F.reset ();
  let log = load () in
  List.iter (fun name -> Kv_log.set log name name) [ "a"; "b" ];
  Kv_log.set log "a" "again";
  F.capacity := F.used ();
  Kv_log.remove log "a";
  (* That is durable. *)
  F.restart !F.synced;
  same "removed" (Model.singleton "b" "b") (contents (load ()))

(* A segment whose beginning wasn't written, and entries that aren't segments. *)
let unwritten () =
  F.reset ();
  let log = load () in
  Kv_log.set log "a" "a";
  let path n = "/.soil-values-" ^ string_of_int n in
  F.make (F.Create (path 2, File));
  F.make (F.Write (path 2, 0, String.make 100 '\000'));
  F.make (F.Create (path 3, File));
  F.make (F.Create (path 4, Symlink));
  F.make (F.Create (path 5, Directory));
  let log = load () in
  same "loaded" (Model.singleton "a" "a") (contents log);
  Alcotest.(check int) "files" 3 (Files.cardinal !F.files);
  Kv_log.set log "b" "b";
  same "goes on" (contents log) (contents (load ()))

let tests =
  let test name f = Alcotest.test_case name `Quick (in_run f) in
  [
    test "cut at each byte" each_byte;
    test "crashes and failures" crashes;
    test "cleaning that fails" failed_cleaning;
    test "damaged values" damage;
    test "records behind a damaged one" behind_damage;
    test "files in the place of values" replaced;
    test "a full volume" full;
    test "segments without contents" unwritten;
  ]
