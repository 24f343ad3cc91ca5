module Fs = Soil.Fs
module Fd = Soil.File_descriptor

type t = {
  directory : string;
  mutable number : int;  (** Of the current log. *)
  mutable file : Fs.file option;  (** The current log; [None] before the first {!rewrite}. *)
  mutable nonce : string;
  mutable size : int;
  mutable snapshot : Message.snapshot;
  saving : Soil.Task.Mutex.t;
}

type recovered = {
  term : int;
  vote : int option;
  log : Log.t;
  snapshot : Message.snapshot;
  data : string;
}

exception Damaged of string

let () =
  Printexc.register_printer (function
    | Damaged reason -> Some ("replicated: " ^ reason)
    | _ -> None)

let damaged path what =
  raise
    (Damaged
       (path ^ ": " ^ what
      ^ ": the disk lost data that was durable; remove this server from the cluster, and add it \
         with an empty disk and another number"))

let path t name = t.directory ^ "/" ^ name
let log_prefix = "log-"
let snapshot_prefix = "snapshot-"

(* Records: the length of the body, a checksum of eight bytes, the body. The file's random number is
   part of the checksum: so the contents of an entry never pass for a record, nor does what the disk
   had there before. *)

let header = 12
let checksum nonce body = String.sub (Digest.string (nonce ^ body)) 0 8

let record nonce body =
  let b = Buffer.create (header + String.length body) in
  Buffer.add_int32_be b (Int32.of_int (String.length body));
  Buffer.add_string b (checksum nonce body);
  Buffer.add_string b body;
  Buffer.contents b

(* The body of the record at [at], if it is whole. *)
let record_at nonce s at =
  if String.length s - at < header then None
  else
    let length = Int32.to_int (String.get_int32_be s at) land 0xffff_ffff in
    if length > String.length s - at - header then None
    else
      let body = String.sub s (at + header) length in
      if checksum nonce body = String.sub s (at + 4) 8 then Some body else None

(* Bodies of the log's records: the base, which is the first record, and then changes. *)

type change = {
  hard_state : (int * int option) option;
  entries : (int * Message.entry list) option;
}

open Wire

let pair f g b (x, y) =
  f b x;
  g b y

let to_pair f g i =
  let x = f i in
  (x, g i)

let change b c =
  option (pair int (option int)) b c.hard_state;
  option (pair int (list Message.entry)) b c.entries

let to_change i =
  let hard_state = to_option (to_pair to_int (to_option to_int)) i in
  { hard_state; entries = to_option (to_pair to_int (to_list Message.to_entry)) i }

(* Whole files *)

let write_all file position s =
  Fs.pwrite file ~position (Bytes.unsafe_of_string s) 0 (String.length s)

let new_name = "new-"

(* Writes the file under another name, and gives it its own one when it is durable. *)
let create t name contents =
  let temporary = path t (new_name ^ name) in
  Fs.with_file ~mode:Truncate temporary (fun file ->
      write_all file 0 contents;
      Fs.sync file);
  Fs.rename temporary (path t name);
  Fs.sync_volume (path t name)

let max_file = 1 lsl 30
let read t name = Fs.read_file ~max:max_file (path t name)

(* The numbers of the files with this prefix, in order. *)
let numbers t prefix =
  let number (name, _) =
    if String.starts_with ~prefix name then
      let n = String.length prefix in
      int_of_string_opt (String.sub name n (String.length name - n))
    else None
  in
  List.sort Int.compare (List.filter_map number (Fs.list t.directory))

let remove_others t prefix number =
  List.iter
    (fun n -> if n <> number then Fs.unlink (path t (prefix ^ string_of_int n)))
    (numbers t prefix)

let remove_unfinished t =
  List.iter
    (fun (name, _) -> if String.starts_with ~prefix:new_name name then Fs.unlink (path t name))
    (Fs.list t.directory)

(* The log *)

let magic = "soil-raft-log\n\000\001"
let nonce_size = 16
let start = String.length magic + nonce_size
let close t = Option.iter Fd.close t.file

let append t ~hard_state entries =
  match t.file with
  | None -> invalid_arg "Storage.append: no log yet"
  | Some file ->
      let s = record t.nonce (encode change { hard_state; entries }) in
      write_all file t.size s;
      Fs.sync file;
      t.size <- t.size + String.length s

let rewrite t ~term ~vote log =
  let nonce = Soil.Random.string nonce_size in
  let base = Log.base log in
  let entries = (base + 1, Log.range log (base + 1) (Log.last log)) in
  let contents =
    magic ^ nonce
    ^ record nonce (encode (pair int int) (base, Option.get (Log.term log base)))
    ^ record nonce (encode change { hard_state = Some (term, vote); entries = Some entries })
  in
  let number = t.number + 1 in
  let name = log_prefix ^ string_of_int number in
  create t name contents;
  close t;
  t.file <- Some (Fs.open_ ~mode:Write (path t name));
  t.number <- number;
  t.nonce <- nonce;
  t.size <- String.length contents;
  remove_others t log_prefix number

(* The bodies of the records, and the end of the last one. *)
let records nonce s =
  let rec next at bodies =
    match record_at nonce s at with
    | Some body -> next (at + header + String.length body) (body :: bodies)
    | None -> (List.rev bodies, at)
  in
  next start []

(* A record that was appended behind another is durable only after that one is. *)
let check_torn name nonce s at =
  for later = at + 1 to String.length s - header do
    if record_at nonce s later <> None then
      damaged name (Printf.sprintf "the record at byte %d is damaged, and one after it isn't" at)
  done

let replay (term, vote, log) c =
  let term, vote = Option.value c.hard_state ~default:(term, vote) in
  match c.entries with
  | None -> (term, vote, log)
  | Some (first, entries) -> (term, vote, List.fold_left Log.append (Log.truncate log first) entries)

let read_log t number =
  let name = path t (log_prefix ^ string_of_int number) in
  let s = read t (log_prefix ^ string_of_int number) in
  if String.length s < start || not (String.starts_with ~prefix:magic s) then
    damaged name "not a log";
  let nonce = String.sub s (String.length magic) nonce_size in
  match records nonce s with
  | base :: changes, last ->
      check_torn name nonce s last;
      let base, base_term = decode (to_pair to_int to_int) base in
      let changes = List.map (decode to_change) changes in
      List.fold_left replay (0, None, Log.create ~base ~base_term) changes
  | [], _ -> damaged name "no base"

(* Snapshots: the description in a record, and the data in another. *)

let snapshot_magic = "soil-raft-snap\n\001"
let snapshot_name index = snapshot_prefix ^ string_of_int index

let save_snapshot (t : t) (snapshot : Message.snapshot) data =
  Soil.Task.Mutex.protect t.saving @@ fun () ->
  if snapshot.index > t.snapshot.index || t.number = 0 then (
    create t (snapshot_name snapshot.index)
      (snapshot_magic ^ record "" (encode Message.snapshot snapshot) ^ record "" data);
    t.snapshot <- snapshot;
    remove_others t snapshot_prefix snapshot.index)

let load_snapshot t index =
  let name = path t (snapshot_name index) in
  let s = read t (snapshot_name index) in
  let body at =
    match record_at "" s at with
    | Some body -> (body, at + header + String.length body)
    | None -> damaged name (Printf.sprintf "the record at byte %d is damaged" at)
  in
  if not (String.starts_with ~prefix:snapshot_magic s) then damaged name "not a snapshot";
  let description, at = body (String.length snapshot_magic) in
  let data, _ = body at in
  (decode Message.to_snapshot description, data)

let read_snapshot (t : t) ~index ~offset ~length =
  Soil.Task.Mutex.protect t.saving @@ fun () ->
  if t.snapshot.index <> index then None
  else
    Fs.with_file (path t (snapshot_name index)) @@ fun file ->
    let description = String.length (encode Message.snapshot t.snapshot) in
    let start = String.length snapshot_magic + header + description + header in
    let total = Fs.size file - start in
    let length = max 0 (min length (total - offset)) in
    let b = Bytes.create length in
    let n = Fs.pread file ~position:(start + offset) b 0 length in
    Some (t.snapshot, total, Bytes.sub_string b 0 n)

(* Recovery *)

let last l = match List.rev l with [] -> None | n :: _ -> Some n

(* After a crash between a snapshot from the leader and the log that begins with it, the log may be
   another one's. *)
let join (snapshot : Message.snapshot) log =
  if Log.term log snapshot.index = Some snapshot.term then log
  else if Log.base log > snapshot.index then
    raise
      (Damaged
         (Printf.sprintf
            "the log begins behind the entry %d, and the latest snapshot ends with the entry %d: \
             the disk lost data that was durable; remove this server from the cluster, and add it \
             with an empty disk and another number"
            (Log.base log) snapshot.index))
  else Log.create ~base:snapshot.index ~base_term:snapshot.term

let open_ scope ~initial ~data directory =
  Fs.mkdir_p directory;
  let saving = Soil.Task.Mutex.create () in
  let t =
    { directory; number = 0; file = None; nonce = ""; size = 0; snapshot = initial; saving }
  in
  Soil.Task.on_release scope (fun () -> close t);
  remove_unfinished t;
  let number = last (numbers t log_prefix) in
  let snapshot, data =
    match (last (numbers t snapshot_prefix), number) with
    | None, None ->
        save_snapshot t initial data;
        (initial, data)
    | None, Some _ -> damaged directory "no snapshot"
    | Some index, None when index > 0 -> damaged directory "no log"
    | Some index, _ -> load_snapshot t index
  in
  t.snapshot <- snapshot;
  let term, vote, log =
    match number with
    | None -> (0, None, Log.create ~base:snapshot.index ~base_term:snapshot.term)
    | Some number ->
        t.number <- number;
        read_log t number
  in
  let log = join snapshot log in
  (* Also makes the records durable that were found behind the last sync, and drops a torn end. *)
  rewrite t ~term ~vote log;
  remove_others t snapshot_prefix snapshot.index;
  (t, { term; vote; log; snapshot; data })
