(* A segment begins with [magic] and a random number. Records follow:

   0: state, [live] or [removed], which alone is written again; 1: checksum of what follows;
   9: kind; 10: length of the name; 11: length of the value; 13: time; 21: length of the name that
   the value had before; 22: name; value; name before

   Later records replace earlier ones of the same name. The random number in the checksum keeps
   values from containing records. *)

let magic = "soil-kv\001"
let prefix = ".soil-values-"
let header = 16
let fixed = 22
let max_name = 255
let max_value = 4096
let max_record = fixed + (2 * max_name) + max_value
let live = 0x00
let removed = 0xff
let value_kind = 0
let removal_kind = 1

type record = { kind : int; name : string; value : string; before : string; time : float }

(* A segment begins no record behind this size. *)
let full = 1 lsl 20
let max_number = (1 lsl 28) - 1

type segment = {
  number : int;
  nonce : int64;
  mutable size : int;
  mutable bound : int;  (** Bytes of its records of values that are bound. *)
}

type t = {
  directory : string;
  point : string;
  names : Kv_names.t;  (** With the place of each value. *)
  mutable segments : segment list;  (** The newest one first. *)
  mutable next : int;  (** Number of the next segment. *)
  mutable closed : bool;  (** The newest segment may end in part of a record. *)
  mutable torn : bool;  (** A change that failed may have left records behind its end. *)
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

(* Without the name before, which only the record's own segment needs. *)
let bound_size name length = fixed + String.length name + length
let record_size r = bound_size r.name (String.length r.value) + String.length r.before

(* Records *)

let name_length b at = Bytes.get_uint8 b (at + 10)
let value_length b at = Bytes.get_uint16_le b (at + 11)
let before_length b at = Bytes.get_uint8 b (at + 21)
let size_at b at = fixed + name_length b at + value_length b at + before_length b at
let name_at b at = Bytes.sub_string b (at + fixed) (name_length b at)
let value_at b at = Bytes.sub_string b (at + fixed + name_length b at) (value_length b at)

let before_at b at =
  Bytes.sub_string b (at + fixed + name_length b at + value_length b at) (before_length b at)

let time_at b at = Int64.float_of_bits (Bytes.get_int64_le b (at + 13))

(* Of the random number, which takes the checksum's place, and the rest of the record. *)
let checksum nonce b at =
  Bytes.set_int64_le b (at + 1) nonce;
  let digest = Digest.subbytes b (at + 1) (size_at b at - 1) in
  Bytes.get_int64_le (Bytes.unsafe_of_string digest) 0

let encode nonce r =
  let b = Bytes.create (record_size r) in
  let add at s =
    Bytes.blit_string s 0 b at (String.length s);
    at + String.length s
  in
  Bytes.set_uint8 b 0 live;
  Bytes.set_uint8 b 9 r.kind;
  Bytes.set_uint8 b 10 (String.length r.name);
  Bytes.set_uint16_le b 11 (String.length r.value);
  Bytes.set_int64_le b 13 (Int64.bits_of_float r.time);
  Bytes.set_uint8 b 21 (String.length r.before);
  ignore (add (add (add fixed r.name) r.value) r.before);
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
  stored = computed

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
  go header false

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
  if Bytes.length b >= header && Bytes.sub_string b 0 8 = magic then Some (Bytes.get_int64_le b 8)
  else None

let write t ~flags number position b =
  Fs.with_file ~flags (path t number) @@ fun d -> Fs.pwrite d ~position b 0 (Bytes.length b)

let unlink t number = Fs.unlink (path t number)
let unlink_quietly path = try Fs.unlink path with Error.Error _ -> ()
let segment t number = Stdlib.List.find (fun s -> s.number = number) t.segments

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
  let nonce = Bytes.get_int64_le b 8 in
  t.segments <- { number; nonce; size = header; bound = 0 } :: t.segments;
  t.total <- t.total + header;
  t.closed <- false

let rec newest t =
  match t.segments with
  | segment :: _ when (not t.closed) && segment.size < full -> segment
  | _ ->
      begin_segment t;
      newest t

(* Records that a change left when it failed don't count any more: the next change may replace or
   remove what they bind. Before that they may count after a restart. *)
let repair t =
  match t.segments with
  | segment :: _ when t.torn ->
      Fs.with_file ~flags:[ `Write ] (path t segment.number) (fun d -> Fs.truncate d segment.size);
      t.torn <- false
  | _ -> ()

(* Bindings *)

let count t name place sign =
  let size = sign * bound_size name (length_of place) in
  let segment = segment t (segment_of place) in
  segment.bound <- segment.bound + size;
  t.live <- t.live + size

let unbind t name =
  match find t name with
  | None -> ()
  | Some place ->
      count t name place (-1);
      Kv_names.remove t.names name

(* Whether [name] is a new one. *)
let bind t name place =
  let old = Kv_names.set t.names name place in
  if old >= 0 then count t name old (-1);
  count t name place 1;
  old < 0

(* Appends records with one write, which a cancelled task completes, and binds their names. *)
let append t records =
  Scheduler.protect @@ fun () ->
  repair t;
  let segment = newest t in
  let b = Bytes.concat Bytes.empty (List.map (encode segment.nonce) records) in
  let failed () = t.torn <- true in
  Failure.undoing failed (fun () -> write t ~flags:[ `Write ] segment.number segment.size b);
  let bind_next at r =
    if r.kind = removal_kind then unbind t r.name
    else ignore (bind t r.name (place segment.number at (String.length r.value)));
    if r.before <> "" then unbind t r.before;
    at + record_size r
  in
  let end_ = List.fold_left bind_next segment.size records in
  t.total <- t.total + end_ - segment.size;
  segment.size <- end_

(* Cleaning *)

let rec oldest = function [] -> None | [ segment ] -> Some segment | _ :: rest -> oldest rest

(* Moves the values that are bound in a segment to the newest one. *)
let move_values t segment =
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
      let value = value_at b at in
      batch := { kind = value_kind; name; value; before = ""; time = time_at b at } :: !batch;
      size := !size + size_at b at;
      if !size >= 32 * 1024 then flush ())
  in
  ignore (iter_records segment.nonce b move);
  flush ()

(* Removes the oldest segment, when nothing that counts is left in it. No older one needs its
   removals. *)
let clean t =
  match oldest t.segments with
  | None -> ()
  | Some segment ->
      repair t;
      if (Stdlib.List.hd t.segments).number = segment.number then t.closed <- true;
      if segment.bound > 0 then move_values t segment;
      if segment.bound > 0 then
        Error.fail Corrupt "clean" ~subject:(path t segment.number)
          ~detail:"it has damaged values; set or remove the keys whose values can't be read";
      (* What has replaced its values, too. *)
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
    | exception Error.Error e ->
        t.patience <- t.total + full;
        if e.code = Corrupt then Failure.print (fun () -> Error.to_string e ^ "\n")

(* Leaves room on the volume for cleaning and for removals. *)
let append_new t records =
  let size = match t.segments with [] -> header | segment :: _ -> segment.size in
  let added = List.fold_left (fun n r -> n + record_size r) 0 records in
  (if size >= full || size lsr 16 < (size + added) lsr 16 then
     let volume = Fs.volume t.directory in
     if volume.free < min (2 * full) (volume.total / 8) then
       Error.fail No_space "append" ~subject:t.directory);
  append t records

let clean_all t =
  for _ = 1 to List.length t.segments do
    clean t
  done

(* A full volume may have room in the log itself. *)
let change t records =
  (match append_new t records with
  | () -> ()
  | exception (Error.Error { code = No_space; _ } as full) when t.total > t.live + (t.total / 8) ->
      (try clean_all t with Error.Error _ -> raise full);
      append_new t records);
  clean_sometimes t

let set t name value =
  let time = Clock.now () in
  if not (mem t name) then t.changed <- time;
  change t [ { kind = value_kind; name; value; before = ""; time } ]

let read t name =
  match find t name with
  | None -> None
  | Some place ->
      let segment = segment t (segment_of place) in
      let most = bound_size name (length_of place) + max_name in
      let b = Bytes.create most in
      let path = path t segment.number in
      let n = Fs.with_file path (fun d -> Fs.pread d ~position:(offset_of place) b 0 most) in
      let b = Bytes.sub b 0 n in
      if not (is_record segment.nonce b 0 && name_at b 0 = name) then
        Error.fail Corrupt "read" ~subject:path ~detail:("a damaged record of " ^ name);
      Some (value_at b 0, time_at b 0)

(* One record, so that it is as atomic as any. *)
let rename t name other =
  match read t name with
  | None -> ()
  | Some (value, time) ->
      t.changed <- Clock.now ();
      change t [ { kind = value_kind; name = other; value; before = name; time } ]

(* Durable at once: nothing orders it with other changes. *)
let remove_in_place t name place =
  Scheduler.protect @@ fun () ->
  repair t;
  write t ~flags:[ `Write ] (segment_of place) (offset_of place) (Bytes.of_string "\xff");
  Fs.sync_volume t.directory;
  unbind t name

let remove t name =
  match find t name with
  | None -> ()
  | Some place -> (
      t.changed <- Clock.now ();
      match
        append t [ { kind = removal_kind; name; value = ""; before = ""; time = t.changed } ]
      with
      | () -> clean_sometimes t
      | exception Error.Error { code = No_space; _ } -> remove_in_place t name place)

(* The oldest one first, and never a later one before it: of no name an earlier value comes back. *)
let clear t =
  let clear segment =
    unlink t segment.number;
    Fs.sync_volume t.directory
  in
  List.iter clear (List.rev t.segments);
  t.segments <- []

(* Loading *)

let replay t ~is_name segment b =
  let strange = ref 0 in
  let bind_at at =
    let name = name_at b at and before = before_at b at in
    if not (is_name name && (before = "" || is_name before)) then incr strange
    else
      let is_value =
        Bytes.get_uint8 b (at + 9) <> removal_kind && Bytes.get_uint8 b at <> removed
      in
      let is_change =
        if is_value then bind t name (place segment.number at (value_length b at))
        else (
          unbind t name;
          true)
      in
      if before <> "" then unbind t before;
      if is_change && time_at b at > t.changed then t.changed <- time_at b at
  in
  let end_, damaged = iter_records segment.nonce b bind_at in
  segment.size <- end_;
  t.total <- t.total + end_;
  if damaged then report t segment.number "skips damaged values";
  if !strange > 0 then report t segment.number "skips names that no key can have";
  t.closed <- end_ < Bytes.length b;
  if t.closed then
    report t segment.number
      ("ignores what follows byte " ^ string_of_int end_ ^ ", of an interrupted change or damaged")

(* A segment whose beginning didn't reach the disk has no durable change. *)
let is_unwritten b =
  Bytes.length b < header || Bytes.sub_string b 0 header = String.make header '\000'

let load_segment t ~is_name ~limit number =
  let b = contents t number in
  match nonce b with
  | Some nonce ->
      let segment = { number; nonce; size = 0; bound = 0 } in
      t.segments <- segment :: t.segments;
      replay t ~is_name segment b;
      if memory t > limit then
        Error.fail Too_large "load" ~subject:t.directory
          ~detail:
            ("the names take more than " ^ string_of_int limit
           ^ " bytes of memory; give the machine more, or Kv.connect ~index")
  | None when is_unwritten b -> unlink_quietly (path t number)
  | None -> report t number "not a file of this version's values; ignored"

let number_of name =
  let from = String.length prefix in
  match int_of_string_opt (String.sub name from (String.length name - from)) with
  | Some n when n >= 0 && n <= max_number && prefix ^ string_of_int n = name -> Some n
  | Some _ | None -> None

(* A change that was interrupted has put a file or a directory in the place of a value. Its value
   must not come back when that is removed. *)
let remove_replaced t =
  let replaced = ref [] in
  if t.live > 0 then
    Fs.iter t.directory (fun name kind ->
        if kind <> Fs.Symlink && mem t name then replaced := name :: !replaced);
  if !replaced <> [] then
    match
      List.iter (remove t) !replaced;
      Fs.sync_volume t.directory
    with
    | () -> ()
    | exception Error.Error { code = Read_only; _ } -> List.iter (unbind t) !replaced

let load ~is_name ~limit directory =
  let numbers = ref [] in
  let note name kind =
    if is_own name && kind = Fs.File then
      match number_of name with Some n -> numbers := n :: !numbers | None -> ()
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
      torn = false;
      total = 0;
      live = 0;
      patience = 0;
      changed = 0.;
    }
  in
  List.iter (load_segment t ~is_name ~limit) numbers;
  remove_replaced t;
  t
