open Typed

type file = [ `Read | `Write | `File ] File_descriptor.t
type mode = Read | Write | Truncate | Create | Append
type flag = [ `Read | `Write | `Create | `Exclusive | `Truncate | `Append ]
type kind = File | Directory | Symlink

type stat = {
  kind : kind;
  size : int;
  modified : float;
  accessed : float;
  changed : float;
  links : int;
  inode : int;
  read_only : bool;
}

type space = { total : int; free : int; available : int }
type health = Writable | Unflushed | Read_only | Corrupt of string

type volume = {
  point : string;
  source : string;
  health : health;
  total : int;
  free : int;
  available : int;
  unit_size : int;
}

let operation = Scheduler.operation
let describe (d : Descriptor.t) = d.path

(* Rust takes and gives bytes of files in bigarrays only: the device may use the memory while other
   tasks run, and [bytes] move. *)

let lending b name subject submit =
  let waits = ref 0 in
  let submit token =
    let result = submit token in
    if result = Soil_raw.pending then waits := token;
    result
  in
  let lose () =
    if !waits > 0 then
      let volume = Soil_raw_files.fs_given_up !waits in
      if volume > 0 then Pool.lose volume b
  in
  Failure.undoing lose (fun () -> operation ~operation:name ~subject submit)

let read_at name position (d : Descriptor.t) b off len =
  lending b name d.path (fun token -> Soil_raw_files.file_read d.handle b off len position token)

let write_at name position (d : Descriptor.t) b off len =
  let submit token = Soil_raw_files.file_write d.handle b off len position token in
  let n = lending b name d.path submit in
  if n = 0 && len > 0 then Error.fail No_space name ~subject:d.path;
  n

let read_bytes_at name position d bytes off len =
  Pool.with_buffer @@ fun b ->
  let n = read_at name position d b 0 (min len Pool.size) in
  Pool.to_bytes b 0 bytes off n;
  n

let write_bytes_at name position d bytes off len =
  Pool.with_buffer @@ fun b ->
  let len = min len Pool.size in
  Pool.of_bytes bytes off b 0 len;
  write_at name position d b 0 len

let own_position = -1
let from_start = 0
let from_position = 1
let from_end = 2

(* Moving the position by a number of bytes never waits, so the token needn't be an operation's. *)
let unread (d : Descriptor.t) _ _ len =
  if len > 0 then ignore (Soil_raw_files.file_seek d.handle (-len) from_position Soil_raw.max_token)

let io =
  {
    Descriptor.read = read_bytes_at "read" own_position;
    read_into = read_at "read" own_position;
    write = write_bytes_at "write" own_position;
    write_from = write_at "write" own_position;
    unread;
    shutdown = Descriptor.no_shutdown;
    close = Some Descriptor.close_handle;
    describe;
    state = None;
  }

let flags mode : flag list =
  match mode with
  | Read -> [ `Read ]
  | Write -> [ `Read; `Write; `Create ]
  | Truncate -> [ `Read; `Write; `Create; `Truncate ]
  | Create -> [ `Read; `Write; `Create; `Exclusive ]
  | Append -> [ `Read; `Write; `Create; `Append ]

let number_of_flag =
  let open Soil_raw in
  function
  | `Read -> open_read
  | `Write -> open_write
  | `Create -> open_create
  | `Exclusive -> open_exclusive
  | `Truncate -> open_truncate
  | `Append -> open_append

let open_ ?(mode = Read) ?flags:given path =
  let chosen = match given with Some given -> given | None -> flags mode in
  let number = List.fold_left (fun sum flag -> sum lor number_of_flag flag) 0 chosen in
  let submit token = Soil_raw_files.fs_open path number token in
  typed (Descriptor.make ~path io (operation ~operation:"open" ~subject:path submit))

let with_file ?mode ?flags path f = File_descriptor.with_close (open_ ?mode ?flags path) f

(* [submit handle token] on the file. *)
let file_operation name file submit =
  let d = any file in
  operation ~operation:name ~subject:d.path (fun token -> submit d.handle token)

let size file = file_operation "size" file Soil_raw_files.file_size

let read_file ?(max = 16 * 1024 * 1024) path =
  with_file path @@ fun d ->
  let n = size d in
  if n > max then
    Error.fail Too_large "read" ~subject:path
      ~detail:(string_of_int n ^ " bytes, and at most " ^ string_of_int max ^ " are wanted");
  let b = Descriptor.buffer "read" path n in
  match File_descriptor.really_read d b 0 n with
  | () -> Bytes.unsafe_to_string b
  (* Another task has made it shorter since. *)
  | exception End_of_file ->
      Error.fail Io "read" ~subject:path ~detail:"the file has become shorter while it was read"

let write_file path s = with_file ~mode:Truncate path (fun d -> File_descriptor.write_string d s)
let append_file path s = with_file ~mode:Append path (fun d -> File_descriptor.write_string d s)

let check_position name position =
  if position < 0 then invalid_arg ("Soil.Fs." ^ name ^ ": negative position")

(* [some position off len] moves at least one byte, unless there is none. *)
let rec all some position off len moved =
  if len = 0 then moved
  else
    let n = some position off len in
    if n = 0 then moved else all some (position + n) (off + n) (len - n) (moved + n)

let pread d ~position bytes off len =
  check_position "pread" position;
  Descriptor.check_bytes "Fs.pread" bytes off len;
  all
    (fun position off len -> read_bytes_at "pread" position (any d) bytes off len)
    position off len 0

let pwrite d ~position bytes off len =
  check_position "pwrite" position;
  Descriptor.check_bytes "Fs.pwrite" bytes off len;
  let some position off len = write_bytes_at "pwrite" position (any d) bytes off len in
  ignore (all some position off len 0)

let pread_into d ~position b off len =
  check_position "pread_into" position;
  Descriptor.check_buffer "Fs.pread_into" b off len;
  all (fun position off len -> read_at "pread" position (any d) b off len) position off len 0

let pwrite_from d ~position b off len =
  check_position "pwrite_from" position;
  Descriptor.check_buffer "Fs.pwrite_from" b off len;
  ignore
    (all (fun position off len -> write_at "pwrite" position (any d) b off len) position off len 0)

let seek_from name whence offset d =
  let seek handle token = Soil_raw_files.file_seek handle offset whence token in
  file_operation name d seek

let seek d position =
  check_position "seek" position;
  ignore (seek_from "seek" from_start position d)

let seek_end d offset = seek_from "seek" from_end offset d
let position d = seek_from "position" from_position 0 d

let truncate d size =
  check_position "truncate" size;
  let truncate handle token = Soil_raw_files.file_truncate handle size token in
  ignore (file_operation "truncate" d truncate)

let sync d = ignore (file_operation "sync" d Soil_raw_files.file_sync)

(* Directories *)

let directory_io = Descriptor.no_io describe

let kind_of_number n =
  if n = Soil_raw.entry_directory then Directory
  else if n = Soil_raw.entry_symlink then Symlink
  else File

(* Packed entries: kind, length of the name in two bytes, the low one first, name. *)
let iter_packed b length f =
  let rec go at =
    if at + 3 <= length then
      let name_length = Bytes.get_uint16_le b (at + 1) in
      let next = at + 3 + name_length in
      if next <= length then (
        f (Bytes.sub_string b (at + 3) name_length) (kind_of_number (Bytes.get_uint8 b at));
        go next)
  in
  go 0

let with_directory path f =
  let submit token = Soil_raw_files.fs_directory path token in
  let handle = operation ~operation:"list" ~subject:path submit in
  Descriptor.closing (Descriptor.make ~path directory_io handle) f

(* The next entries, packed; none at the end. *)
let next_entries (d : Descriptor.t) =
  Pool.with_buffer @@ fun b ->
  let submit token = Soil_raw_files.directory_next d.handle b Pool.size token in
  let n = lending b "list" d.path submit in
  let packed = Bytes.create n in
  Pool.to_bytes b 0 packed 0 n;
  packed

let iter path f =
  with_directory path @@ fun d ->
  let rec go () =
    let packed = next_entries d in
    if Bytes.length packed > 0 then (
      iter_packed packed (Bytes.length packed) f;
      go ())
  in
  go ()

let with_entries path f =
  with_directory path @@ fun d ->
  let rec from entries () =
    match entries with
    | entry :: rest -> Seq.Cons (entry, from rest)
    | [] ->
        let packed = next_entries d in
        if Bytes.length packed = 0 then Seq.Nil
        else
          let entries = ref [] in
          iter_packed packed (Bytes.length packed) (fun name kind ->
              entries := (name, kind) :: !entries);
          from (List.rev !entries) ()
  in
  f (from [])

let list path =
  let entries = ref [] in
  iter path (fun name kind -> entries := (name, kind) :: !entries);
  Stdlib.List.sort (fun (a, _) (b, _) -> String.compare a b) !entries

let seconds whole nanoseconds = float_of_int whole +. (float_of_int nanoseconds *. 1e-9)

let get_stat name subject fill =
  let record = Scheduler.create_ints Soil_raw.stat_length in
  ignore (operation ~operation:name ~subject (fun token -> fill record token));
  {
    size = Soil_raw.stat record Size;
    kind = kind_of_number (Soil_raw.stat record Kind);
    modified = seconds (Soil_raw.stat record Modified) (Soil_raw.stat record Modified_ns);
    accessed = seconds (Soil_raw.stat record Accessed) (Soil_raw.stat record Accessed_ns);
    changed = seconds (Soil_raw.stat record Changed) (Soil_raw.stat record Changed_ns);
    links = Soil_raw.stat record Links;
    inode = Soil_raw.stat record Inode;
    read_only = Soil_raw.stat record Read_only = 1;
  }

let stat path = get_stat "stat" path (fun b token -> Soil_raw_files.fs_stat path 1 b token)
let lstat path = get_stat "lstat" path (fun b token -> Soil_raw_files.fs_stat path 0 b token)

let stat_file file =
  let d = any file in
  get_stat "stat" d.path (fun b token -> Soil_raw_files.file_stat d.handle b token)

let exists path =
  match stat path with
  | _ -> true
  | exception Error.Error { code = Not_found | Not_directory; _ } -> false

let path_operation name path submit =
  let submit token = submit path token in
  ignore (operation ~operation:name ~subject:path submit)

let mkdir path = path_operation "mkdir" path (fun path token -> Soil_raw_files.fs_mkdir path token)

(* Nothing for a name in the root or in the current directory. *)
let parent path =
  match String.rindex_opt path '/' with
  | Some i when i > 0 -> Some (String.sub path 0 i)
  | Some _ | None -> None

let rec mkdir_p path =
  match mkdir path with
  | () -> ()
  | exception Error.Error { code = Exists; _ } when (stat path).kind = Directory -> ()
  | exception (Error.Error { code = Not_found; _ } as problem) -> (
      match parent path with
      | Some above ->
          mkdir_p above;
          mkdir path
      | None -> raise problem)

let rmdir path =
  path_operation "rmdir" path (fun path token -> Soil_raw_files.fs_remove_directory path token)

let unlink path =
  path_operation "unlink" path (fun path token -> Soil_raw_files.fs_unlink path token)

let on_two name a b raw =
  ignore (operation ~operation:name ~subject:(a ^ " to " ^ b) (fun token -> raw a b token))

let rename ?(how = `Replace) a b =
  let number = match how with `Replace -> 0 | `No_replace -> 1 | `Exchange -> 2 in
  on_two "rename" a b (fun a b token -> Soil_raw_files.fs_rename a b number token)

let link a b = on_two "link" a b (fun a b token -> Soil_raw_files.fs_link a b token)

let symlink ~target path =
  path_operation "symlink" path (fun path token -> Soil_raw_files.fs_symlink target path token)

let longest_path = 4096

let text name path raw =
  Pool.with_buffer @@ fun b ->
  let submit token = raw path b longest_path token in
  let n = min longest_path (operation ~operation:name ~subject:path submit) in
  let text = Bytes.create n in
  Pool.to_bytes b 0 text 0 n;
  Bytes.unsafe_to_string text

let readlink path =
  text "readlink" path (fun path b len token -> Soil_raw_files.fs_readlink path b len token)

let realpath path =
  text "realpath" path (fun path b len token -> Soil_raw_files.fs_realpath path b len token)

(* Contents without a copy *)

(* flags, number of dimensions, address of the data, address of the dimensions *)
external outside_heap :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (nativeint[@unboxed]) ->
  (nativeint[@unboxed]) ->
  Pool.buffer = "soil_ba_alloc_bytecode" "caml_ba_alloc"

let contents path =
  with_file path @@ fun d ->
  let record = Scheduler.create_ints Soil_raw.contents_length in
  let found =
    file_operation "contents" d (fun handle token ->
        Soil_raw_files.file_contents handle record token)
  in
  if found = 0 then None
  else
    (* 12: characters in C layout, memory that isn't OCaml's (CAML_BA_CHAR, CAML_BA_C_LAYOUT,
       CAML_BA_EXTERNAL). *)
    Some
      (outside_heap 12 1
         (Nativeint.of_int (Soil_raw.contents record Address))
         (Nativeint.of_int (Soil_raw.contents record Length_address)))

(* Locks *)

type lock = { path : string; mutex : Sync.Mutex.t; mutable users : int }

let locks : lock list ref = ref []

let with_lock path f =
  Owner.check ();
  Owner.check_first ();
  let path = realpath path in
  let lock =
    match Stdlib.List.find_opt (fun lock -> lock.path = path) !locks with
    | Some lock -> lock
    | None ->
        let lock = { path; mutex = Sync.Mutex.create (); users = 0 } in
        locks := lock :: !locks;
        lock
  in
  lock.users <- lock.users + 1;
  let leave () =
    lock.users <- lock.users - 1;
    if lock.users = 0 then locks := List.filter (fun other -> other != lock) !locks
  in
  Failure.finally leave (fun () -> Sync.Mutex.protect lock.mutex f)

(* Volumes *)

let volume path =
  let record = Scheduler.create_ints Soil_raw.space_length in
  let words =
    text "volume" path (fun path b len token -> Soil_raw_files.fs_space path record b len token)
  in
  let point, source, said =
    match String.split_on_char '\n' words with
    | [ point; source; said ] -> (point, source, said)
    | _ -> ("", "", "")
  in
  let health =
    match Soil_raw.space record Health with
    | 0 -> Writable
    | 1 -> Read_only
    | 3 -> Unflushed
    | _ -> Corrupt said
  in
  {
    point;
    source;
    health;
    total = Soil_raw.space record Total;
    free = Soil_raw.space record Free;
    available = Soil_raw.space record Available;
    unit_size = Soil_raw.space record Unit;
  }

let () =
  let find path =
    let found = volume path in
    (found.total, match found.health with Read_only -> false | _ -> true)
  in
  Needed.volume := Some find

let space path : space =
  let { total; free; available; _ } = volume path in
  { total; free; available }

let mount ?(read_only = false) source path =
  let word = path ^ "=" ^ source ^ if read_only then ",ro" else "" in
  let submit token = Soil_raw_files.fs_mount word token in
  ignore (operation ~operation:"mount" ~subject:path submit)

let unmount path =
  path_operation "unmount" path (fun path token -> Soil_raw_files.fs_unmount path token)

let with_mount ?read_only source path f =
  Task.scope @@ fun scope ->
  mount ?read_only source path;
  Task.on_release scope (fun () -> unmount path);
  f ()

let sync_volume path =
  path_operation "sync" path (fun path token -> Soil_raw_files.fs_sync_volume path token)

let sync_all () =
  ignore (operation ~operation:"sync" ~subject:"" (fun token -> Soil_raw_files.fs_sync token))
