type mode = Read | Write | Truncate | Create | Append
type kind = File | Directory
type stat = { kind : kind; size : int; modified : float; read_only : bool }
type space = { total : int; free : int }

let operation = Scheduler.operation
let describe (d : Descriptor.t) = d.path

(* Rust takes and gives bytes of files in bigarrays only: the device may use the memory while other
   tasks run, and [bytes] move. *)

let read_at name position (d : Descriptor.t) b off len =
  let submit token = Soil_raw_files.file_read d.handle b off len position token in
  operation ~operation:name ~subject:d.path submit

let write_at name position (d : Descriptor.t) b off len =
  let submit token = Soil_raw_files.file_write d.handle b off len position token in
  let n = operation ~operation:name ~subject:d.path submit in
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

let io =
  {
    Descriptor.read = read_bytes_at "read" own_position;
    read_into = read_at "read" own_position;
    write = write_bytes_at "write" own_position;
    write_from = write_at "write" own_position;
    describe;
  }

let flags mode =
  let open Soil_raw in
  match mode with
  | Read -> open_read
  | Write -> open_read lor open_write lor open_create
  | Truncate -> open_read lor open_write lor open_create lor open_truncate
  | Create -> open_read lor open_write lor open_create lor open_exclusive
  | Append -> open_read lor open_write lor open_create lor open_append

let open_ ?(mode = Read) path =
  let submit token = Soil_raw_files.fs_open path (flags mode) token in
  Descriptor.make ~path io File (operation ~operation:"open" ~subject:path submit)

let with_file ?mode path f = Descriptor.closing (open_ ?mode path) f

let file_operation name (d : Descriptor.t) submit =
  Descriptor.need File d name;
  operation ~operation:name ~subject:d.path submit

let size (d : Descriptor.t) =
  file_operation "size" d (fun token -> Soil_raw_files.file_size d.handle token)

let read_file ?(max = 16 * 1024 * 1024) path =
  with_file path @@ fun d ->
  let n = size d in
  if n > max then
    Error.fail Too_large "read" ~subject:path
      ~detail:(string_of_int n ^ " bytes, and at most " ^ string_of_int max ^ " are wanted");
  let b = Bytes.create n in
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
  Descriptor.need File d "pread";
  check_position "pread" position;
  Descriptor.check_bytes "Fs.pread" bytes off len;
  all (fun position off len -> read_bytes_at "pread" position d bytes off len) position off len 0

let pwrite d ~position bytes off len =
  Descriptor.need File d "pwrite";
  check_position "pwrite" position;
  Descriptor.check_bytes "Fs.pwrite" bytes off len;
  let some position off len = write_bytes_at "pwrite" position d bytes off len in
  ignore (all some position off len 0)

let pread_into d ~position b off len =
  Descriptor.need File d "pread";
  check_position "pread_into" position;
  Descriptor.check_buffer "Fs.pread_into" b off len;
  all (fun position off len -> read_at "pread" position d b off len) position off len 0

let pwrite_from d ~position b off len =
  Descriptor.need File d "pwrite";
  check_position "pwrite_from" position;
  Descriptor.check_buffer "Fs.pwrite_from" b off len;
  ignore (all (fun position off len -> write_at "pwrite" position d b off len) position off len 0)

let from_start = 0
let from_position = 1

let seek_from name whence offset (d : Descriptor.t) =
  file_operation name d (fun token -> Soil_raw_files.file_seek d.handle offset whence token)

let seek d position =
  check_position "seek" position;
  ignore (seek_from "seek" from_start position d)

let position d = seek_from "position" from_position 0 d

let truncate (d : Descriptor.t) size =
  check_position "truncate" size;
  ignore
    (file_operation "truncate" d (fun token -> Soil_raw_files.file_truncate d.handle size token))

let sync (d : Descriptor.t) =
  ignore (file_operation "sync" d (fun token -> Soil_raw_files.file_sync d.handle token))

(* Directories *)

let directory_io = Descriptor.no_io describe
let kind_of_number n = if n = Soil_raw.entry_directory then Directory else File

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

let iter path f =
  let subject = path and name = "list" in
  let submit token = Soil_raw_files.fs_directory path token in
  let handle = operation ~operation:name ~subject submit in
  Descriptor.closing (Descriptor.make ~path directory_io Directory handle) @@ fun d ->
  let next () =
    Pool.with_buffer @@ fun b ->
    let submit token = Soil_raw_files.directory_next d.handle b Pool.size token in
    let n = operation ~operation:name ~subject submit in
    let packed = Bytes.create n in
    Pool.to_bytes b 0 packed 0 n;
    packed
  in
  let rec go () =
    let packed = next () in
    if Bytes.length packed > 0 then (
      iter_packed packed (Bytes.length packed) (fun name kind ->
          if name <> "." && name <> ".." then f name kind);
      go ())
  in
  go ()

let list path =
  let entries = ref [] in
  iter path (fun name kind -> entries := (name, kind) :: !entries);
  List.sort (fun (a, _) (b, _) -> String.compare a b) !entries

let stat path =
  let numbers = Scheduler.create_ints 4 in
  let submit token = Soil_raw_files.fs_stat path numbers token in
  ignore (operation ~operation:"stat" ~subject:path submit);
  {
    size = numbers.{0};
    kind = kind_of_number numbers.{1};
    modified = float_of_int numbers.{2};
    read_only = numbers.{3} = 1;
  }

let exists path =
  match stat path with
  | _ -> true
  | exception Error.Error { code = Not_found | Not_directory; _ } -> false

let path_operation name path submit =
  let submit token = submit path token in
  ignore (operation ~operation:name ~subject:path submit)

let mkdir path = path_operation "mkdir" path (fun path token -> Soil_raw_files.fs_mkdir path token)

let rec mkdir_p path =
  match mkdir path with
  | () -> ()
  | exception Error.Error { code = Exists; _ } when (stat path).kind = Directory -> ()
  | exception Error.Error { code = Not_found; _ } when String.rindex path '/' > 0 ->
      mkdir_p (String.sub path 0 (String.rindex path '/'));
      mkdir path

let rmdir path =
  path_operation "rmdir" path (fun path token -> Soil_raw_files.fs_remove_directory path token)

let unlink path =
  path_operation "unlink" path (fun path token -> Soil_raw_files.fs_unlink path token)

let rename a b =
  let submit token = Soil_raw_files.fs_rename a b token in
  ignore (operation ~operation:"rename" ~subject:(a ^ " to " ^ b) submit)

(* Volumes *)

let space path =
  let numbers = Scheduler.create_ints 2 in
  let submit token = Soil_raw_files.fs_space path numbers token in
  ignore (operation ~operation:"space" ~subject:path submit);
  { total = numbers.{0}; free = numbers.{1} }

let mount disk path =
  let source = if String.contains disk ':' then disk else "fat:" ^ disk in
  let submit token = Soil_raw_files.fs_mount (path ^ "=" ^ source) token in
  ignore (operation ~operation:"mount" ~subject:path submit)

let sync_all () =
  ignore (operation ~operation:"sync" ~subject:"" (fun token -> Soil_raw_files.fs_sync token))
