let own = ".soil-kv"

(* Of [own], and of the machine's random seed. *)
let reserved = ".soil-"

module Key = struct
  type t = string list (* the innermost name first *)

  let empty = []

  let is_name name =
    name <> "" && name <> "." && name <> ".."
    && (not (String.contains name '/'))
    && (not (String.contains name '\000'))
    && not (String.starts_with ~prefix:reserved name)

  let add key name =
    if is_name name then name :: key else invalid_arg ("Soil.Kv.Key: not a name: " ^ name)

  let ( / ) = add

  let v path =
    let names = List.filter (fun name -> name <> "") (String.split_on_char '/' path) in
    List.fold_left add empty names

  let segments = List.rev
  let basename = function [] -> "" | name :: _ -> name
  let parent = function [] -> [] | _ :: above -> above
  let to_string key = "/" ^ String.concat "/" (List.rev key)
  let equal (a : t) b = a = b
  let compare (a : t) b = compare (List.rev a) (List.rev b)
  let hash (key : t) = Print.hash key
  let pp f key = Print.string f (to_string key)
end

module Logs = Map.Make (Stdlib.String)

(* The dictionaries whose small values are known, by their paths: what all stores with this root
   have in common. *)
type shared = {
  root : string;
  mutex : Sync.Mutex.t;
  commits : Group_commit.t;
  mutable logs : Kv_log.t Logs.t;
  mutable used : int;  (** Bytes of memory of [logs]. *)
  mutable removals : int;  (** Of names of files. *)
  mutable synced_removals : int;  (** How many of them are durable. *)
}

type t = { shared : shared; point : string; index : int; in_batch : bool }

type error =
  [ `Not_found of Key.t
  | `Dictionary_expected of Key.t
  | `Value_expected of Key.t
  | `Already_present of Key.t
  | `No_space
  | `Rename_source_prefix of Key.t * Key.t
  | `Failed of Error.t ]

let error_to_string : error -> string = function
  | `Not_found key -> Key.to_string key ^ ": not found"
  | `Dictionary_expected key -> Key.to_string key ^ ": a value, not a dictionary"
  | `Value_expected key -> Key.to_string key ^ ": a dictionary, not a value"
  | `Already_present key -> Key.to_string key ^ ": there already"
  | `No_space -> "no space left"
  | `Rename_source_prefix (source, dest) ->
      Key.to_string dest ^ ": inside of " ^ Key.to_string source
  | `Failed e -> Error.to_string e

let path { shared = { root; _ }; _ } key =
  if key = [] && root <> "" then root else root ^ Key.to_string key

exception Stop of error

let stop e = raise_notrace (Stop e)

let of_error key (e : Error.t) : error =
  match e.code with
  | Not_found -> `Not_found key
  | Not_directory -> `Dictionary_expected (Key.parent key)
  | Is_directory -> `Value_expected key
  | No_space -> `No_space
  | _ -> `Failed e

(* Errors as values. *)
let result key f =
  match f () with
  | v -> Ok v
  | exception Stop e -> Result.Error e
  | exception Error.Error e -> Result.Error (of_error key e)

let sync t =
  let removals = t.shared.removals in
  Fs.sync_volume (path t []);
  t.shared.synced_removals <- removals

(* [f ()], after which the name of a file is gone. *)
let removing t f = Failure.finally (fun () -> t.shared.removals <- t.shared.removals + 1) f

let alone t f =
  Owner.check_first ();
  if t.in_batch then f () else Sync.Mutex.protect t.shared.mutex f

let operation t key f = alone t (fun () -> result key f)

(* Others may change the store during the sync of a change, and have one in common. *)
let durable t = if not t.in_batch then Group_commit.commit t.shared.commits (fun () -> sync t)

let file_durable t d =
  if t.in_batch then Fs.sync d
  else
    Group_commit.commit t.shared.commits @@ fun () ->
    if Group_commit.is_shared t.shared.commits then sync t else Fs.sync d

let member t key f = result key @@ fun () -> Group_commit.member t.shared.commits f

let change t key f =
  member t key @@ fun () ->
  alone t f;
  durable t

(* Small values. Those of a dictionary are known from the first operation there until others need
   the memory. *)

let forget t keep =
  let logs = Logs.filter keep t.shared.logs in
  t.shared.logs <- logs;
  t.shared.used <- Logs.fold (fun _ log used -> used + Kv_log.memory log) logs 0

let forget_one t path = forget t (fun other _ -> other <> path)

let forget_below t key =
  let path = path t key
  and below = t.shared.root ^ Key.to_string key ^ if key = [] then "" else "/" in
  forget t (fun other _ -> other <> path && not (String.starts_with ~prefix:below other))

(* The small values of a dictionary, which exists; a mount may have replaced those known. *)
let log_of t key =
  let path = path t key in
  match Logs.find_opt path t.shared.logs with
  | Some log when Kv_log.point log = (Fs.volume path).point -> log
  | known ->
      Option.iter (fun _ -> forget_one t path) known;
      let log = Kv_log.load ~is_name:Key.is_name ~limit:t.index path in
      let used = Kv_log.memory log in
      if t.shared.used + used > t.index then forget t (fun _ _ -> false);
      t.shared.logs <- Logs.add path log t.shared.logs;
      t.shared.used <- t.shared.used + used;
      log

(* [f log name], where another program or a mount may have taken the files away. *)
let with_log t key f =
  let above = Key.parent key in
  let log = log_of t above in
  let before = Kv_log.memory log in
  let path = path t above in
  let count () =
    t.shared.used <- t.shared.used + Kv_log.memory log - before;
    if t.shared.used > t.index then forget t (fun other _ -> other = path)
  in
  match Failure.finally count (fun () -> f log (Key.basename key)) with
  | v -> v
  | exception (Error.Error { code = Not_found; _ } as e) ->
      forget_one t path;
      raise e

(* [f ()], changes of both a file and a small value. If it fails, what is on the volume counts. *)
let both_kinds t key f =
  let forget () = forget_one t (path t (Key.parent key)) in
  Scheduler.protect (fun () -> Failure.undoing forget f)

let is_small t key = key <> [] && Kv_log.mem (log_of t (Key.parent key)) (Key.basename key)

(* FAT gives each long name a short one, such as SOIL-V~1, under which the file is found, too. None
   is a key: that of the store's own files would be one. *)
let may_be_short name =
  String.length name <= 12
  &&
  match String.rindex_opt name '~' with
  | Some i when i + 1 < String.length name -> name.[i + 1] >= '0' && name.[i + 1] <= '9'
  | Some _ | None -> false

let rec is_short t = function
  | [] -> false
  | name :: above as key ->
      let is_found () =
        match Fs.lstat (path t key) with
        | _ -> true
        | exception Error.Error { code = Not_found | Not_directory; _ } -> false
      in
      let is_listed () =
        let name = String.lowercase_ascii name and found = ref false in
        Fs.iter (path t above) (fun other _ ->
            if String.lowercase_ascii other = name then found := true);
        !found
      in
      is_short t above || (may_be_short name && is_found () && not (is_listed ()))

(* A symbolic link in the directory is not followed; [kind] finds one in the last place. *)
let rec guard t key =
  if is_short t key then stop (`Not_found key);
  match Key.parent key with
  | [] -> ()
  | above -> (
      match Fs.realpath (path t above) with
      | real -> if real <> path t above then stop (`Not_found key)
      | exception (Error.Error { code = Not_found; _ } as e) -> (
          match find t above with
          | `Value | (exception Stop (`Dictionary_expected _)) -> stop (`Dictionary_expected above)
          | `Dictionary | (exception (Error.Error _ | Stop _)) -> raise e))

and kind t key =
  if is_small t key then `Value
  else
    match Fs.lstat (path t key) with
    | { kind = File; _ } -> `Value
    | { kind = Directory; _ } -> `Dictionary
    | { kind = Symlink; _ } -> stop (`Not_found key)

(* The kind of an entry, which is first shown to be in the store. *)
and find t key =
  guard t key;
  kind t key

let need_value t key =
  match find t key with `Value -> () | `Dictionary -> stop (`Value_expected key)

let need_dictionary t key =
  match find t key with `Dictionary -> () | `Value -> stop (`Dictionary_expected key)

let exists t key =
  let found = operation t key @@ fun () -> Some (find t key) in
  match found with
  | Result.Error (`Not_found _ | `Dictionary_expected _) -> Ok None
  | found -> found

let small t key =
  if is_small t key then with_log t key (fun log name -> Kv_log.read log name) else None

let read t key =
  match small t key with Some (value, _) -> value | None -> Fs.read_file ~max:max_int (path t key)

let get t key =
  operation t key @@ fun () ->
  need_value t key;
  read t key

let get_partial t key ~offset ~length =
  if offset < 0 || length < 0 then invalid_arg "Soil.Kv.get_partial: negative";
  operation t key @@ fun () ->
  need_value t key;
  match small t key with
  | Some (value, _) ->
      let offset = min offset (String.length value) in
      String.sub value offset (min length (String.length value - offset))
  | None ->
      Fs.with_file (path t key) @@ fun d ->
      let length = max 0 (min length (Fs.size d - offset)) in
      let b = Descriptor.buffer "read" (path t key) length in
      let n = Fs.pread d ~position:offset b 0 length in
      Bytes.sub_string b 0 n

(* Of files and directories the first [limit] names behind [after]; small values hide files. *)
let named t log key ~after ~limit =
  let found = ref Logs.empty and count = ref 0 in
  let add name kind =
    found := Logs.add name kind !found;
    incr count;
    if !count > limit then (
      found := Logs.remove (fst (Logs.max_binding !found)) !found;
      decr count)
  in
  let one name kind =
    if
      String.compare name after > 0
      && (not (String.starts_with ~prefix:reserved name))
      && not (Kv_log.mem log name)
    then
      match kind with
      | Fs.File -> add name `Value
      | Directory -> add name `Dictionary
      | Symlink -> ()
  in
  Fs.iter (path t key) one;
  Logs.to_seq !found

let entries ?(after = "") ?(limit = max_int) t key =
  let log = log_of t key in
  let named = named t log key ~after ~limit in
  let small = Seq.map (fun name -> (name, `Value)) (Kv_log.after log after) in
  Seq.sorted_merge (fun (a, _) (b, _) -> String.compare a b) named small
  |> Seq.take limit
  |> Seq.map (fun (name, kind) -> (name :: key, kind))
  |> Stdlib.List.of_seq

let list ?after ?limit t key =
  if Option.fold ~none:false ~some:(fun n -> n < 0) limit then
    invalid_arg "Soil.Kv.list: negative limit";
  operation t key @@ fun () ->
  need_dictionary t key;
  entries ?after ?limit t key

let last_modified t key =
  operation t key @@ fun () ->
  match find t key with
  | `Dictionary ->
      let modified = (Fs.stat (path t key)).modified and changed = Kv_log.changed (log_of t key) in
      if modified > changed then modified else changed
  | `Value -> (
      match small t key with Some (_, time) -> time | None -> (Fs.stat (path t key)).modified)

let rec digest_of t key = function
  | `Value -> Digest.string (read t key)
  | `Dictionary ->
      let one (key, kind) =
        let name = Key.basename key in
        string_of_int (String.length name) ^ ":" ^ name ^ digest_of t key kind
      in
      Digest.string (String.concat "" ("dictionary" :: List.map one (entries t key)))

let digest t key = operation t key @@ fun () -> digest_of t key (find t key)

let rec size_of t key = function
  | `Value -> (
      match with_log t key Kv_log.length with
      | Some length -> length
      | None -> (Fs.stat (path t key)).size)
  | `Dictionary ->
      List.fold_left (fun sum (key, kind) -> sum + size_of t key kind) 0 (entries t key)

let size t key = operation t key @@ fun () -> size_of t key (find t key)

(* Writing *)

let next_temporary = ref 0
let temporaries root = root ^ "/" ^ own

let new_temporary t =
  incr next_temporary;
  temporaries t.shared.root ^ "/" ^ string_of_int !next_temporary

let rec make_above t key =
  match key with
  | [] | [ _ ] -> ()
  | _ :: above -> (
      match find t above with
      | `Dictionary -> ()
      | `Value -> stop (`Dictionary_expected above)
      | exception Error.Error { code = Not_found; _ } ->
          make_above t above;
          Fs.mkdir (path t above))

let reject_short t key =
  Error.fail Invalid_name "set" ~subject:(path t key) ~detail:"the short name of another file"

let kind_of t key =
  match find t key with kind -> Some kind | exception Error.Error { code = Not_found; _ } -> None

(* Before any change next to [key]: what a failed one has left in the log must not count after it. *)
let repair t key = Kv_log.repair (log_of t (Key.parent key))
let unlink_quietly path = try Fs.unlink path with Error.Error _ -> ()

(* [rename ()], which puts a file in the place of a small value. From then on the file counts, also
   after a crash; it is durable before the small value is gone. *)
let replace_small t key rename =
  if not (is_small t key) then rename ()
  else
    both_kinds t key @@ fun () ->
    rename ();
    sync t;
    with_log t key Kv_log.remove

let set_file t key value =
  let temporary = new_temporary t in
  let write () =
    Fs.with_file ~mode:Truncate temporary (fun d ->
        File_descriptor.write_string d value;
        (* Without a journal the name could be on the disk before the contents. In a batch, too. *)
        file_durable t d);
    alone t (fun () ->
        make_above t key;
        repair t key;
        (* Fails with [Is_directory] for a dictionary; of a symbolic link it replaces the link. *)
        replace_small t key (fun () -> Fs.rename temporary (path t key)))
  in
  (* A cancelled task could remove nothing. *)
  Failure.undoing (fun () -> Scheduler.protect (fun () -> unlink_quietly temporary)) write

(* A small value in the place of a file counts when that is gone, also after a crash: it is durable
   before. *)
let replace_file t key value =
  both_kinds t key @@ fun () ->
  with_log t key (fun log name -> Kv_log.set log name value);
  sync t;
  removing t (fun () -> Fs.unlink (path t key))

(* Whether the value could be packed. *)
let set_small t key value =
  make_above t key;
  let set log name = Kv_log.set log name value in
  let log = log_of t (Key.parent key) in
  let has_room () =
    Kv_log.memory log + 512 < t.index
    && String.length (Key.basename key) <= Kv_log.max_name
    && Kv_log.point log = t.point
  in
  if is_small t key then (
    with_log t key set;
    true)
  else
    has_room ()
    &&
    match Fs.lstat (path t key) with
    | { kind = Directory; _ } -> false
    | { kind = File | Symlink; _ } ->
        replace_file t key value;
        true
    | exception Error.Error { code = Not_found; _ } ->
        with_log t key set;
        true

let set t key value =
  member t key @@ fun () ->
  if key = [] then stop (`Value_expected key);
  if is_short t key then reject_short t key;
  let packed =
    String.length value <= Kv_log.max_value && alone t (fun () -> set_small t key value)
  in
  if not packed then set_file t key value;
  durable t

(* Makes a small value a file. *)
let unpack t key =
  match small t key with
  | Some (value, _) -> set_file { t with in_batch = true } key value
  | None -> ()

let patch value offset part =
  let length = max (String.length value) (offset + String.length part) in
  let b = Bytes.create length in
  Bytes.fill b 0 length '\000';
  Bytes.blit_string value 0 b 0 (String.length value);
  Bytes.blit_string part 0 b offset (String.length part);
  Bytes.unsafe_to_string b

(* Whether the value is a small one, and stays that. *)
let set_small_partial t key offset part =
  need_value t key;
  repair t key;
  match small t key with
  | Some (value, _) when offset <= Kv_log.max_value - String.length part ->
      if part <> "" then
        with_log t key (fun log name -> Kv_log.set log name (patch value offset part));
      true
  | Some _ | None ->
      unpack t key;
      false

let set_partial t key ~offset part =
  if offset < 0 then invalid_arg "Soil.Kv.set_partial: negative offset";
  member t key @@ fun () ->
  if alone t (fun () -> set_small_partial t key offset part) then durable t
  else
    Fs.with_file ~flags:[ `Read; `Write ] (path t key) @@ fun d ->
    let part = Bytes.unsafe_of_string part in
    alone t (fun () -> Fs.pwrite d ~position:offset part 0 (Bytes.length part));
    if not t.in_batch then file_durable t d

let rec remove_tree path = function
  | Fs.Directory ->
      List.iter (fun (name, kind) -> remove_tree (path ^ "/" ^ name) kind) (Fs.list path);
      Fs.rmdir path
  | File | Symlink -> Fs.unlink path

(* A directory first leaves the store, as a whole; not if another volume is mounted at it or below,
   whose files stay. [connect] removes the rest if the program ends or the task is cancelled. *)
let remove_entry t path kind =
  removing t @@ fun () ->
  match kind with
  | Fs.Directory ->
      let temporary = new_temporary t in
      Fs.rename path temporary;
      remove_tree temporary Fs.Directory
  | File | Symlink -> Fs.unlink path

let remove t key =
  change t key @@ fun () ->
  match (key, find t key) with
  | [], _ ->
      let small = log_of t key in
      forget_below t key;
      Kv_log.clear small;
      List.iter
        (fun (name, kind) ->
          if not (String.starts_with ~prefix:reserved name) then
            remove_entry t (t.shared.root ^ "/" ^ name) kind)
        (Fs.list (path t []))
  | _, `Value when is_small t key -> with_log t key Kv_log.remove
  | _, `Value ->
      repair t key;
      remove_entry t (path t key) File
  | _, `Dictionary ->
      repair t key;
      forget_below t key;
      remove_entry t (path t key) Directory

let rec is_inside key outer = Key.equal key outer || (key <> [] && is_inside (Key.parent key) outer)

let rename t ~source ~dest =
  change t source @@ fun () ->
  let kind = find t source in
  if not (Key.equal source dest) then (
    if is_inside dest source then stop (`Rename_source_prefix (source, dest));
    if is_short t dest then reject_short t dest;
    make_above t dest;
    (match (kind, kind_of t dest) with
    | _, None | `Value, Some `Value -> ()
    | `Value, Some `Dictionary -> stop (`Value_expected dest)
    | `Dictionary, Some _ -> stop (`Already_present dest));
    repair t source;
    repair t dest;
    let in_log =
      Key.equal (Key.parent source) (Key.parent dest)
      && String.length (Key.basename dest) <= Kv_log.max_name
      && is_small t source
      && (is_small t dest || kind_of t dest = None)
    in
    if in_log then (
      (* The record must not be durable before a file of that name is gone, which would count. *)
      if t.shared.removals > t.shared.synced_removals then sync t;
      with_log t source (fun log name -> Kv_log.rename log name (Key.basename dest)))
    else (
      if kind = `Dictionary then forget_below t source;
      unpack t source;
      replace_small t dest (fun () ->
          removing t (fun () -> Fs.rename (path t source) (path t dest)))))

let batch t f =
  if t.in_batch then f t
  else
    Sync.Mutex.protect t.shared.mutex @@ fun () ->
    let sync_quietly () = try sync t with Error.Error _ -> () in
    let v = Failure.undoing sync_quietly (fun () -> f { t with in_batch = true }) in
    sync t;
    v

let connected : shared list ref = ref []

let shared root =
  match Stdlib.List.find_opt (fun shared -> shared.root = root) !connected with
  | Some shared ->
      shared.logs <- Logs.empty;
      shared.used <- 0;
      shared
  | None ->
      let mutex = Sync.Mutex.create () and commits = Group_commit.create () in
      let shared =
        { root; mutex; commits; logs = Logs.empty; used = 0; removals = 0; synced_removals = 0 }
      in
      connected := shared :: !connected;
      shared

let connect ?index directory =
  Owner.check_first ();
  let index = match index with Some n -> n | None -> (Machine.memory ()).total / 8 in
  match
    Fs.mkdir_p directory;
    let root = Fs.realpath directory in
    let root = if root = "/" then "" else root in
    let temporary = temporaries root in
    if Fs.exists temporary then remove_tree temporary Directory;
    Fs.mkdir temporary;
    (root, (Fs.volume temporary).point)
  with
  | root, point -> Ok { shared = shared root; point; index; in_batch = false }
  | exception Error.Error e -> Result.Error (`Failed e)
