(* A volume on a disk that tears and loses what isn't synced, that fails, and that is full. What
   [Kv] and [Kv_log] use of [Soil.Fs]. *)

type kind = File | Directory | Symlink
type stat = { kind : kind; size : int; modified : float }
type volume = { point : string; total : int; free : int }

type change =
  | Create of string * kind
  | Write of string * int * string
  | Truncate of string * int
  | Unlink of string
  | Rename of string * string

(* What becomes of a change that fails, or after which the machine stops. *)
type extent = All | Part of int | None_of_it
type failure = Fails of extent | Stops of extent

exception Stopped

let is_stopped = ref false

module Files = Map.Make (String)

(* By path; the contents of files. *)
type entries = (kind * string) Files.t

let synced : entries ref = ref Files.empty
let files : entries ref = ref Files.empty

(* Since the last sync, and since the beginning; the last one first. *)
let changes : change list ref = ref []
let history : change list ref = ref []
let capacity = ref max_int

(* What becomes of the next changes and syncs; then all succeed. *)
let failures : failure option list ref = ref []
let normal path = "/" ^ String.concat "/" (List.filter (( <> ) "") (String.split_on_char '/' path))
let above path = Filename.dirname path
let is_directory all path = path = "/" || Option.map fst (Files.find_opt path all) = Some Directory

let written text position part =
  let end_ = position + String.length part in
  let b = Bytes.make (max end_ (String.length text)) '\000' in
  Bytes.blit_string text 0 b 0 (String.length text);
  Bytes.blit_string part 0 b position (String.length part);
  Bytes.to_string b

let cut text size =
  if size <= String.length text then String.sub text 0 size else written text size ""

let moved a b path =
  if path = a then Some b
  else if String.starts_with ~prefix:(a ^ "/") path then
    Some (b ^ String.sub path (String.length a) (String.length path - String.length a))
  else None

(* Nothing, if its file was lost. *)
let apply all change =
  let edit path f = Files.update path (Option.map (fun (kind, text) -> (kind, f text))) all in
  match change with
  | Create (path, kind) ->
      if Files.mem path all || not (is_directory all (above path)) then all
      else Files.add path (kind, "") all
  | Write (path, position, part) -> edit path (fun text -> written text position part)
  | Truncate (path, size) -> edit path (fun text -> cut text size)
  | Unlink path -> Files.remove path all
  | Rename (a, b) ->
      if (not (Files.mem a all)) || not (is_directory all (above b)) then all
      else
        let others = Files.filter (fun path _ -> moved a b path = None && path <> b) all in
        Files.fold
          (fun path entry all ->
            match moved a b path with Some path -> Files.add path entry all | None -> all)
          all others

let first n = function
  | Write (path, position, part) ->
      Write (path, position, String.sub part 0 (min n (String.length part)))
  | (Create _ | Truncate _ | Unlink _ | Rename _) as change -> change

(* The disk has [all]. *)
let restart all =
  synced := all;
  files := all;
  changes := [];
  failures := [];
  is_stopped := false

let reset () =
  restart Files.empty;
  history := [];
  capacity := max_int

let fail ?(subject = "fake") code = Soil.Error.fail code "change" ~subject
let used () = Files.fold (fun _ (_, text) n -> n + String.length text) !files 0

let make change =
  changes := change :: !changes;
  history := change :: !history;
  files := apply !files change

let make_some change = function
  | All -> make change
  | Part n -> make (first n change)
  | None_of_it -> ()

let next_failure () =
  if !is_stopped then raise Stopped;
  match !failures with
  | [] -> None
  | failure :: rest ->
      failures := rest;
      failure

let stop () =
  is_stopped := true;
  raise Stopped

let text path =
  match Files.find_opt path !files with
  | Some (_, text) -> text
  | None -> fail Soil.Error.Not_found ~subject:path

let change wanted =
  (match wanted with
  | Write (path, position, part) ->
      let more = position + String.length part - String.length (text path) in
      if more > 0 && used () + more > !capacity then (
        make (first (max 0 (String.length part - (used () + more - !capacity))) wanted);
        fail Soil.Error.No_space)
  | Create _ | Truncate _ | Unlink _ | Rename _ -> ());
  match next_failure () with
  | None -> make wanted
  | Some (Fails extent) ->
      make_some wanted extent;
      fail Soil.Error.Io
  | Some (Stops extent) ->
      make_some wanted extent;
      stop ()

let sync_by f =
  match next_failure () with
  | None -> f ()
  | Some (Fails _) -> fail Soil.Error.Io
  | Some (Stops _) -> stop ()

let sync_volume _ =
  sync_by (fun () ->
      synced := !files;
      changes := [])

(* A file alone, and its name. *)
let sync path =
  let is_of = function
    | Create (_, Directory) -> true
    | Create (other, _) | Write (other, _, _) | Truncate (other, _) -> other = path
    | Unlink _ | Rename _ -> false
  in
  sync_by (fun () -> synced := List.fold_left apply !synced (List.filter is_of (List.rev !changes)))

(* Paths *)

let rec need path =
  match Files.find_opt path !files with
  | Some entry -> entry
  | None when path = "/" -> (Directory, "")
  | None -> (
      match need (above path) with
      | Directory, _ -> fail Soil.Error.Not_found ~subject:path
      | _ -> fail Soil.Error.Not_directory ~subject:path)

let lstat path =
  let kind, text = need (normal path) in
  { kind; size = String.length text; modified = 0. }

let stat = lstat

let exists path =
  match lstat path with
  | _ -> true
  | exception Soil.Error { code = Not_found | Not_directory; _ } -> false

let realpath path =
  ignore (lstat path);
  normal path

let mkdir path =
  let path = normal path in
  if exists path then fail Soil.Error.Exists ~subject:path;
  ignore (need (above path));
  change (Create (path, Directory))

let rec mkdir_p path =
  if not (exists path) then (
    mkdir_p (above path);
    mkdir path)

let iter path f =
  let path = normal path in
  if fst (need path) <> Directory then fail Soil.Error.Not_directory ~subject:path;
  let one other (kind, _) = if above other = path then f (Filename.basename other) kind in
  Files.iter one !files

let list path =
  let found = ref [] in
  iter path (fun name kind -> found := (name, kind) :: !found);
  List.rev !found

let unlink path =
  let path = normal path in
  ignore (need path);
  change (Unlink path)

let rmdir path =
  if list path <> [] then fail Soil.Error.Not_empty ~subject:path;
  change (Unlink (normal path))

let rename a b =
  let a = normal a and b = normal b in
  let kind, _ = need a in
  (match Files.find_opt b !files with
  | Some (Directory, _) when kind <> Directory -> fail Soil.Error.Is_directory ~subject:b
  | Some _ | None -> ignore (need (above b)));
  change (Rename (a, b))

let volume _ = { point = "/"; total = !capacity; free = !capacity - used () }

(* Files *)

type mode = Truncate

let with_file ?(mode : mode option) ?(flags = [ `Read ]) path f =
  let path = normal path in
  if mode <> None || List.mem `Create flags then (
    ignore (need (above path));
    if not (Files.mem path !files) then change (Create (path, File)));
  if mode <> None && text path <> "" then change (Truncate (path, 0));
  ignore (need path);
  f path

let size path = String.length (text path)

let pread path ~position b off length =
  let text = text path in
  let n = max 0 (min length (String.length text - position)) in
  Bytes.blit_string text position b off n;
  n

let pwrite path ~position b off length =
  change (Write (path, position, Bytes.sub_string b off length))

let truncate path size = change (Truncate (path, size))
let write_string path s = change (Write (path, 0, s))
let read_file ~max:_ path = text (normal path)
