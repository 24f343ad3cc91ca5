let own = ".soil-kv"

(* Of [own], and of the machine's random seed. *)
let reserved = ".soil-"

module Key = struct
  type t = string list (* the innermost name first *)

  let empty = []

  let add key name =
    let is_name =
      name <> "" && name <> "." && name <> ".."
      && (not (String.contains name '/'))
      && (not (String.contains name '\000'))
      && not (String.starts_with ~prefix:reserved name)
    in
    if is_name then name :: key else invalid_arg ("Soil.Kv.Key: not a name: " ^ name)

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

type t = { root : string; mutex : Sync.Mutex.t; commits : Group_commit.t; in_batch : bool }

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

let path t key = if key = [] && t.root <> "" then t.root else t.root ^ Key.to_string key

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

let alone t f = if t.in_batch then f () else Sync.Mutex.protect t.mutex f
let operation t key f = alone t (fun () -> result key f)

(* Others may change the store during the sync of a change, and have one in common. *)
let durable t =
  if not t.in_batch then Group_commit.commit t.commits (fun () -> Fs.sync_volume (path t []))

let file_durable t d =
  if t.in_batch then Fs.sync d
  else
    Group_commit.commit t.commits @@ fun () ->
    if Group_commit.is_shared t.commits then Fs.sync_volume (path t []) else Fs.sync d

let member t key f = result key @@ fun () -> Group_commit.member t.commits f

let change t key f =
  member t key @@ fun () ->
  alone t f;
  durable t

(* A symbolic link in the directory is not followed; [kind] finds one in the last place. *)
let guard t key =
  match Key.parent key with
  | [] -> ()
  | above -> if Fs.realpath (path t above) <> path t above then stop (`Not_found key)

let kind t key =
  match Fs.lstat (path t key) with
  | { kind = File; _ } -> `Value
  | { kind = Directory; _ } -> `Dictionary
  | { kind = Symlink; _ } -> stop (`Not_found key)

(* The kind of an entry, which is first shown to be in the store. *)
let find t key =
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

let get t key =
  operation t key @@ fun () ->
  need_value t key;
  Fs.read_file ~max:max_int (path t key)

let get_partial t key ~offset ~length =
  if offset < 0 || length < 0 then invalid_arg "Soil.Kv.get_partial: negative";
  operation t key @@ fun () ->
  need_value t key;
  Fs.with_file (path t key) @@ fun d ->
  let length = max 0 (min length (Fs.size d - offset)) in
  let b = Descriptor.buffer "read" (path t key) length in
  let n = Fs.pread d ~position:offset b 0 length in
  Bytes.sub_string b 0 n

let entries t key =
  let keep (name, kind) =
    match kind with
    | _ when String.starts_with ~prefix:reserved name -> None
    | Fs.File -> Some (name :: key, `Value)
    | Directory -> Some (name :: key, `Dictionary)
    | Symlink -> None
  in
  List.filter_map keep (Fs.list (path t key))

let list t key =
  operation t key @@ fun () ->
  need_dictionary t key;
  entries t key

let last_modified t key =
  operation t key @@ fun () ->
  ignore (find t key);
  (Fs.stat (path t key)).modified

let rec digest_of t key = function
  | `Value -> Digest.string (Fs.read_file ~max:max_int (path t key))
  | `Dictionary ->
      let one (key, kind) =
        let name = Key.basename key in
        string_of_int (String.length name) ^ ":" ^ name ^ digest_of t key kind
      in
      Digest.string (String.concat "" ("dictionary" :: List.map one (entries t key)))

let digest t key = operation t key @@ fun () -> digest_of t key (find t key)

let rec size_of t key = function
  | `Value -> (Fs.stat (path t key)).size
  | `Dictionary ->
      List.fold_left (fun sum (key, kind) -> sum + size_of t key kind) 0 (entries t key)

let size t key = operation t key @@ fun () -> size_of t key (find t key)

(* Writing *)

let next_temporary = ref 0
let temporaries root = root ^ "/" ^ own

let new_temporary t =
  incr next_temporary;
  temporaries t.root ^ "/" ^ string_of_int !next_temporary

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

let kind_of t key =
  match find t key with kind -> Some kind | exception Error.Error { code = Not_found; _ } -> None

let unlink_quietly path = try Fs.unlink path with Error.Error _ -> ()

let set t key value =
  member t key @@ fun () ->
  if key = [] then stop (`Value_expected key);
  let temporary = new_temporary t in
  let write () =
    Fs.with_file ~mode:Truncate temporary (fun d ->
        File_descriptor.write_string d value;
        (* Without a journal the name could be on the disk before the contents. In a batch, too. *)
        file_durable t d);
    alone t (fun () ->
        make_above t key;
        (* Fails with [Is_directory] for a dictionary; of a symbolic link it replaces the link. *)
        Fs.rename temporary (path t key))
  in
  (* A cancelled task could remove nothing. *)
  Failure.undoing (fun () -> Scheduler.protect (fun () -> unlink_quietly temporary)) write;
  durable t

let set_partial t key ~offset part =
  if offset < 0 then invalid_arg "Soil.Kv.set_partial: negative offset";
  member t key @@ fun () ->
  alone t (fun () -> need_value t key);
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
let remove_entry t path = function
  | Fs.Directory ->
      let temporary = new_temporary t in
      Fs.rename path temporary;
      remove_tree temporary Fs.Directory
  | File | Symlink -> Fs.unlink path

let remove t key =
  change t key @@ fun () ->
  match (key, find t key) with
  | [], _ ->
      List.iter
        (fun (name, kind) ->
          if not (String.starts_with ~prefix:reserved name) then
            remove_entry t (t.root ^ "/" ^ name) kind)
        (Fs.list (path t []))
  | _, `Value -> remove_entry t (path t key) File
  | _, `Dictionary -> remove_entry t (path t key) Directory

let rec is_inside key outer = Key.equal key outer || (key <> [] && is_inside (Key.parent key) outer)

let rename t ~source ~dest =
  change t source @@ fun () ->
  let kind = find t source in
  if not (Key.equal source dest) then (
    if is_inside dest source then stop (`Rename_source_prefix (source, dest));
    make_above t dest;
    (match (kind, kind_of t dest) with
    | _, None | `Value, Some `Value -> ()
    | `Value, Some `Dictionary -> stop (`Value_expected dest)
    | `Dictionary, Some _ -> stop (`Already_present dest));
    Fs.rename (path t source) (path t dest))

let batch t f =
  if t.in_batch then f t
  else
    Sync.Mutex.protect t.mutex @@ fun () ->
    let sync () = Fs.sync_volume (path t []) in
    let sync_quietly () = try sync () with Error.Error _ -> () in
    let v = Failure.undoing sync_quietly (fun () -> f { t with in_batch = true }) in
    sync ();
    v

let connect directory =
  match
    Fs.mkdir_p directory;
    let root = Fs.realpath directory in
    let root = if root = "/" then "" else root in
    let temporary = temporaries root in
    if Fs.exists temporary then remove_tree temporary Directory;
    Fs.mkdir temporary;
    root
  with
  | root ->
      let mutex = Sync.Mutex.create () and commits = Group_commit.create () in
      Ok { root; mutex; commits; in_batch = false }
  | exception Error.Error e -> Result.Error (`Failed e)
