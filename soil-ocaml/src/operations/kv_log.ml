(* A segment begins with [magic] and a random number. Records follow:

   0: state, [live] or [removed], which alone is written again; 1: checksum of what follows;
   9: kind; 10: length of the name; 11: length of the value; 13: time; 21: name; value

   Later records replace earlier ones of the same name. The random number in the checksum keeps
   values from containing records. *)

let magic = "soil-kv\001"
let prefix = ".soil-values-"
let fixed = 21
let max_value = 4096
let max_record = fixed + 255 + max_value
let live = 0x00
let removed = 0xff

(* A part of a group counts if the record behind it is there, too. *)
let value_kind = 0
let group_kind = 1
let removal_kind = 2

(* A segment begins no record behind this size. *)
let full = 1 lsl 20
let max_number = (1 lsl 28) - 1

type segment = { number : int; nonce : int64; mutable size : int }

type t = {
  directory : string;
  point : string;
  names : Kv_names.t;  (** With the place of each value. *)
  mutable segments : segment list;  (** The newest one first. *)
  mutable next : int;  (** Number of the next segment. *)
  mutable closed : bool;  (** The newest segment may end in part of a record. *)
  mutable total : int;  (** Bytes of the segments. *)
  mutable live : int;  (** Those of the values that are bound. *)
  mutable patience : int;  (** A total up to which nothing is cleaned, after a failure. *)
  mutable changed : float;
}

let memory t = 400 + Kv_names.memory t.names + (10 * 8 * List.length t.segments)
let point t = t.point
let changed t = t.changed
let after t name = Kv_names.after t.names name
let path t number = t.directory ^ "/" ^ prefix ^ string_of_int number
let is_own name = String.starts_with ~prefix name

(* A place: number of the segment, offset, length of the value. *)

let place number at length = (number lsl 34) lor (at lsl 13) lor length
let segment_of place = place lsr 34
let offset_of place = (place lsr 13) land ((1 lsl 21) - 1)
let length_of place = place land ((1 lsl 13) - 1)
let find t name = match Kv_names.find t.names name with -1 -> None | place -> Some place
let mem t name = find t name <> None
let length t name = Option.map length_of (find t name)
let record_size name length = fixed + String.length name + length

(* Records *)

let name_length b at = Bytes.get_uint8 b (at + 10)
let value_length b at = Bytes.get_uint16_le b (at + 11)
let size_at b at = fixed + name_length b at + value_length b at
let name_at b at = Bytes.sub_string b (at + fixed) (name_length b at)
let value_at b at = Bytes.sub_string b (at + fixed + name_length b at) (value_length b at)
let time_at b at = Int64.float_of_bits (Bytes.get_int64_le b (at + 13))

(* Of the random number, which takes the checksum's place, and the rest of the record. *)
let checksum nonce b at =
  Bytes.set_int64_le b (at + 1) nonce;
  let digest = Digest.subbytes b (at + 1) (size_at b at - 1) in
  Bytes.get_int64_le (Bytes.unsafe_of_string digest) 0

let encode nonce kind name value time =
  let b = Bytes.create (record_size name (String.length value)) in
  Bytes.set_uint8 b 0 live;
  Bytes.set_uint8 b 9 kind;
  Bytes.set_uint8 b 10 (String.length name);
  Bytes.set_uint16_le b 11 (String.length value);
  Bytes.set_int64_le b 13 (Int64.bits_of_float time);
  Bytes.blit_string name 0 b fixed (String.length name);
  Bytes.blit_string value 0 b (fixed + String.length name) (String.length value);
  Bytes.set_int64_le b 1 (checksum nonce b 0);
  b

let is_record nonce b at =
  at + fixed <= Bytes.length b
  && value_length b at <= max_value
  && name_length b at > 0
  && at + size_at b at <= Bytes.length b
  &&
  let stored = Bytes.get_int64_le b (at + 1) in
  let computed = checksum nonce b at in
  Bytes.set_int64_le b (at + 1) stored;
  Int64.equal stored computed

(* Calls [f at] for the records of a segment; returns their end, and whether some are damaged. One
   of them is skipped if its lengths lead to another. *)
let iter_records nonce b f =
  let rec go at damaged =
    if is_record nonce b at then (
      f at;
      go (at + size_at b at) damaged)
    else if at + fixed <= Bytes.length b && is_record nonce b (at + size_at b at) then
      go (at + size_at b at) true
    else (at, damaged)
  in
  go 16 false

(* Segments *)

let report t number what =
  Failure.print (fun () -> "Soil.Kv: " ^ path t number ^ ": " ^ what ^ "\n")

(* No more than a segment can have, whatever its size. *)
let contents t number =
  Fs.with_file (path t number) @@ fun d ->
  let b = Bytes.create (min (Fs.size d) (full + max_record + (64 * 1024))) in
  let n = Fs.pread d ~position:0 b 0 (Bytes.length b) in
  if n = Bytes.length b then b else Bytes.sub b 0 n

(* The random number of a segment. *)
let nonce b =
  if Bytes.length b >= 16 && Bytes.sub_string b 0 8 = magic then Some (Bytes.get_int64_le b 8)
  else None

let write t ~flags number position b =
  Fs.with_file ~flags (path t number) @@ fun d -> Fs.pwrite d ~position b 0 (Bytes.length b)

let unlink t number = Fs.unlink (path t number)
let unlink_quietly path = try Fs.unlink path with Error.Error _ -> ()

(* A machine may have no source of random numbers. *)
let random () =
  match Random.string 8 with
  | s -> s
  | exception Error.Error { code = No_entropy; _ } ->
      String.sub (Digest.string (string_of_int (Clock.now_ns ()))) 0 8

let begin_segment t =
  if t.next > max_number then Error.fail No_space "segment" ~subject:t.directory;
  let number = t.next in
  t.next <- number + 1;
  let b = Bytes.of_string (magic ^ random ()) in
  Failure.undoing
    (fun () -> unlink_quietly (path t number))
    (fun () -> write t ~flags:[ `Write; `Create; `Exclusive ] number 0 b);
  t.segments <- { number; nonce = Bytes.get_int64_le b 8; size = 16 } :: t.segments;
  t.total <- t.total + 16;
  t.closed <- false

let rec newest t =
  match t.segments with
  | segment :: _ when (not t.closed) && segment.size < full -> segment
  | _ ->
      begin_segment t;
      newest t

(* Bindings *)

let unbind t name =
  match find t name with
  | None -> ()
  | Some place ->
      t.live <- t.live - record_size name (length_of place);
      Kv_names.remove t.names name

(* Whether [name] is a new one. *)
let bind t name place =
  let old = Kv_names.set t.names name place in
  if old >= 0 then t.live <- t.live - record_size name (length_of old);
  t.live <- t.live + record_size name (length_of place);
  old < 0

(* Appends records with one write, which a cancelled task completes, and binds their names. *)
let append t records =
  Scheduler.protect @@ fun () ->
  let segment = newest t in
  let encoded =
    List.map (fun (kind, name, v, time) -> encode segment.nonce kind name v time) records
  in
  let b = Bytes.concat Bytes.empty encoded in
  let failed () = t.closed <- true in
  Failure.undoing failed (fun () -> write t ~flags:[ `Write ] segment.number segment.size b);
  let bind_next at (kind, name, value, _) =
    if kind = removal_kind then unbind t name
    else ignore (bind t name (place segment.number at (String.length value)));
    at + record_size name (String.length value)
  in
  let end_ = List.fold_left bind_next segment.size records in
  t.total <- t.total + end_ - segment.size;
  segment.size <- end_

(* Cleaning *)

let rec oldest = function [] -> None | [ segment ] -> Some segment | _ :: rest -> oldest rest

(* Moves what is bound in the oldest segment to the newest one, and removes it. No older segment
   needs its removals. *)
let clean t =
  match oldest t.segments with
  | None -> ()
  | Some segment ->
      if (Stdlib.List.hd t.segments).number = segment.number then t.closed <- true;
      let b = contents t segment.number in
      let batch = ref [] and size = ref 0 in
      let flush () =
        if !batch <> [] then append t (List.rev !batch);
        batch := [];
        size := 0
      in
      let move at =
        let name = name_at b at in
        if find t name = Some (place segment.number at (value_length b at)) then (
          batch := (value_kind, name, value_at b at, time_at b at) :: !batch;
          size := !size + size_at b at;
          if !size >= 32 * 1024 then flush ())
      in
      ignore (iter_records segment.nonce b move);
      flush ();
      Fs.sync_volume t.directory;
      unlink t segment.number;
      t.total <- t.total - segment.size;
      t.segments <- List.filter (fun other -> other.number <> segment.number) t.segments

let needs_cleaning t =
  t.total > max t.patience ((2 * t.live) + full) || List.length t.segments > 4 + (2 * t.total / full)

(* The change is made, whatever comes of it. *)
let clean_sometimes t =
  if needs_cleaning t then
    match clean t with
    | () -> t.patience <- 0
    | exception Error.Error _ -> t.patience <- t.total + full

(* Leaves room on the volume for cleaning. *)
let append_new t records =
  let size = match t.segments with [] -> 16 | segment :: _ -> segment.size in
  let added =
    List.fold_left (fun n (_, name, v, _) -> n + record_size name (String.length v)) 0 records
  in
  (if size >= full || size lsr 16 < (size + added) lsr 16 then
     let volume = Fs.volume t.directory in
     if volume.free < min (2 * full) (volume.total / 8) then
       Error.fail No_space "append" ~subject:t.directory);
  append t records

(* A full volume may have room in the log itself. *)
let change t records =
  (match append_new t records with
  | () -> ()
  | exception Error.Error { code = No_space; _ } when t.total > t.live + (t.total / 8) ->
      for _ = 1 to List.length t.segments do
        clean t
      done;
      append_new t records);
  clean_sometimes t

let set t name value =
  let now = Clock.now () in
  if not (mem t name) then t.changed <- now;
  change t [ (value_kind, name, value, now) ]

let read t name =
  match find t name with
  | None -> None
  | Some place ->
      let length = record_size name (length_of place) and at = offset_of place in
      let b = Bytes.create length in
      let path = path t (segment_of place) in
      let n = Fs.with_file path (fun d -> Fs.pread d ~position:at b 0 length) in
      let nonce = (Stdlib.List.find (fun s -> s.number = segment_of place) t.segments).nonce in
      if not (n = length && is_record nonce b 0 && name_at b 0 = name) then
        Error.fail Corrupt "read" ~subject:path ~detail:("a damaged record of " ^ name);
      Some (value_at b 0, time_at b 0)

let rename t name other =
  match read t name with
  | None -> ()
  | Some (value, time) ->
      t.changed <- Clock.now ();
      change t [ (group_kind, other, value, time); (removal_kind, name, "", t.changed) ]

let remove t name =
  match find t name with
  | None -> ()
  | Some place ->
      let state = Bytes.of_string "\xff" in
      Scheduler.protect (fun () ->
          write t ~flags:[ `Write ] (segment_of place) (offset_of place) state;
          unbind t name);
      t.changed <- Clock.now ();
      clean_sometimes t

(* The oldest one first: of no name an earlier value comes back. *)
let clear t =
  List.iter (fun segment -> unlink t segment.number) (List.rev t.segments);
  t.segments <- []

(* Loading *)

let replay t ~is_name segment b =
  let strange = ref 0 and group = ref [] in
  let apply (at, name) =
    let state = Bytes.get_uint8 b at and kind = Bytes.get_uint8 b (at + 9) in
    if not (is_name name) then incr strange
    else
      let is_change =
        if kind <> removal_kind && state <> removed then
          bind t name (place segment.number at (value_length b at))
        else (
          unbind t name;
          true)
      in
      if is_change then t.changed <- Float.max t.changed (time_at b at)
  in
  let one at =
    let record = (at, name_at b at) in
    if Bytes.get_uint8 b (at + 9) = group_kind then group := record :: !group
    else (
      List.iter apply (List.rev !group);
      group := [];
      apply record)
  in
  let end_, damaged = iter_records segment.nonce b one in
  segment.size <- end_;
  t.total <- t.total + end_;
  if damaged then report t segment.number "skips damaged values";
  if !strange > 0 then report t segment.number "skips names that no key can have";
  t.closed <- end_ < Bytes.length b || !group <> [];
  if end_ < Bytes.length b then
    report t segment.number
      ("ignores what follows byte " ^ string_of_int end_ ^ ", of an interrupted change or damaged")

let load_segment t ~is_name ~limit number =
  let b = contents t number in
  match nonce b with
  | Some nonce ->
      let segment = { number; nonce; size = 0 } in
      t.segments <- segment :: t.segments;
      replay t ~is_name segment b;
      if memory t > limit then
        Error.fail Too_large "load" ~subject:t.directory
          ~detail:
            ("the names take more than " ^ string_of_int limit
           ^ " bytes of memory; give the machine more, or Kv.connect ~index")
  | None when Bytes.length b < 16 -> unlink_quietly (path t number)
  | None -> report t number "not a file of this version's values; ignored"

let number_of name =
  let from = String.length prefix in
  match int_of_string_opt (String.sub name from (String.length name - from)) with
  | Some n when n >= 0 && n <= max_number && prefix ^ string_of_int n = name -> Some n
  | Some _ | None -> None

let load ~is_name ~limit directory =
  let numbers = ref [] in
  let note name _ =
    if is_own name then match number_of name with Some n -> numbers := n :: !numbers | None -> ()
  in
  Fs.iter directory note;
  let numbers = Stdlib.List.sort Int.compare !numbers in
  let t =
    {
      directory;
      point = (Fs.volume directory).point;
      names = Kv_names.create ();
      segments = [];
      next = 1 + List.fold_left max 0 numbers;
      closed = false;
      total = 0;
      live = 0;
      patience = 0;
      changed = 0.;
    }
  in
  List.iter (load_segment t ~is_name ~limit) numbers;
  if t.live > 0 then (
    let shadowed = ref [] in
    Fs.iter directory (fun name kind ->
        if kind <> Fs.Directory && mem t name then shadowed := name :: !shadowed);
    List.iter (fun name -> unlink_quietly (directory ^ "/" ^ name)) !shadowed);
  t
