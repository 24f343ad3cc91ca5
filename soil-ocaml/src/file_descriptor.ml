type -_ t = Descriptor.t
type buffer = Pool.buffer
type source = [ `Read ] t
type sink = [ `Write ] t
type flow = [ `Read | `Write | `Shutdown ] t
type console = [ `Read | `Write ] t

let name (d : _ t) = d.io.describe d

let console_named name =
  Descriptor.(make { (stream_io (fun _ -> name)) with shutdown = no_shutdown; close = None })

let console = ref None
let console_error = ref None

let once cell make =
  match !cell with
  | Some d -> d
  | None -> (
      let d = make () in
      let made = Some d in
      match !cell with
      | Some first -> first (* Another thread's. *)
      | None ->
          cell := made;
          d)

let opened name handle = console_named name (Failure.check ~operation:"open" ~subject:name handle)
let of_console () = once console (fun () -> opened "console" (Soil_raw.console ()))

let of_console_error () =
  once console_error (fun () -> opened "error console" (Soil_raw.console_error ()))

(* Reading *)

let read (d : _ t) b off len =
  Descriptor.check_bytes "read" b off len;
  d.io.read d b off len

let read_into (d : _ t) b off len =
  Descriptor.check_buffer "read_into" b off len;
  d.io.read_into d b off len

let peek (d : _ t) b off len =
  Descriptor.check_bytes "peek" b off len;
  Descriptor.peek d b off len

(* [f ()]; if it raises, [undo ()] gives back the bytes taken so far. *)
let undoing undo f =
  match f () with
  | v -> v
  | exception e ->
      let backtrace = Failure.get_backtrace () in
      undo ();
      Failure.raise_with_backtrace e backtrace

(* Reads by [read at] until [got], which it keeps up to date, is [len]. *)
let rec fill read len got =
  if !got < len then (
    let n = read !got (len - !got) in
    if n = 0 then raise End_of_file;
    got := !got + n;
    fill read len got)

let really_read (d : _ t) b off len =
  Descriptor.check_bytes "really_read" b off len;
  let got = ref 0 in
  undoing
    (fun () -> d.io.unread d b off !got)
    (fun () -> fill (fun at len -> d.io.read d b (off + at) len) len got)

let default_max = 16 * 1024 * 1024

let too_large operation subject max =
  let detail = "more than " ^ string_of_int max ^ " bytes" in
  Error.fail Too_large operation ~subject ~detail

(* [already], and after it the rest of the input; [undo b] if that fails after [b]. *)
let read_to_end ~max ~already ~undo (d : _ t) =
  let piece = Bytes.create 16384 in
  let pieces = ref [ already ] and length = ref (Bytes.length already) in
  let joined () = Bytes.concat Bytes.empty (List.rev !pieces) in
  let rec go () =
    if !length > max then too_large "read" (name d) max;
    let n = d.io.read d piece 0 (Bytes.length piece) in
    if n > 0 then (
      pieces := Bytes.sub piece 0 n :: !pieces;
      length := !length + n;
      go ())
  in
  undoing (fun () -> undo (joined ())) go;
  Bytes.unsafe_to_string (joined ())

let read_all ?(max = default_max) (d : _ t) =
  let undo b = d.io.unread d b 0 (Bytes.length b) in
  read_to_end ~max ~already:Bytes.empty ~undo d

(* Writing *)

let rec write_loop (d : _ t) b off len =
  if len > 0 then
    let n = d.io.write d b off len in
    write_loop d b (off + n) (len - n)

let write d b off len =
  Descriptor.check_bytes "write" b off len;
  Descriptor.alone d (fun () -> write_loop d b off len)

let write_some (d : _ t) b off len =
  Descriptor.check_bytes "write_some" b off len;
  if len = 0 then 0 else Descriptor.alone d (fun () -> d.io.write d b off len)

let write_string ?(off = 0) ?len d s =
  let len = match len with Some len -> len | None -> String.length s - off in
  (* Only read, whatever its type says. *)
  write d (Bytes.unsafe_of_string s) off len

let gathered_max = 16384 (* larger strings get a call of their own *)

let rec write_strings d l =
  match l with
  | [] -> ()
  | [ s ] -> write_string d s
  | l -> (
      let rec small taken length = function
        | s :: rest when length + String.length s <= gathered_max ->
            small (s :: taken) (length + String.length s) rest
        | rest -> (List.rev taken, rest)
      in
      let together, rest = small [] 0 l in
      match (together, rest) with
      | [], s :: rest ->
          write_string d s;
          write_strings d rest
      | together, rest ->
          write_string d (String.concat "" together);
          write_strings d rest)

let writev d l = Descriptor.alone d (fun () -> write_strings d l)

let rec write_buffer_loop (d : _ t) b off len written =
  if !written < len then (
    written := !written + d.io.write_from d b (off + !written) (len - !written);
    write_buffer_loop d b off len written)

(* [written] is the number of bytes at any moment. *)
let write_buffer d b off len written =
  Descriptor.alone d (fun () -> write_buffer_loop d b off len written)

let write_from d b off len =
  Descriptor.check_buffer "write_from" b off len;
  write_buffer d b off len (ref 0)

let copy ?(buffer = Pool.size) ~(src : _ t) ~dst () =
  if buffer < 1 then invalid_arg "Soil.File_descriptor.copy: buffer is less than 1";
  let rec go b copied =
    let n = src.io.read_into src b 0 (Bigarray.Array1.dim b) in
    if n = 0 then copied
    else
      let written = ref 0 in
      let undo () =
        let rest = Bytes.create (n - !written) in
        Pool.to_bytes b !written rest 0 (n - !written);
        src.io.unread src rest 0 (n - !written)
      in
      undoing undo (fun () -> write_buffer dst b 0 n written);
      go b (copied + n)
  in
  if buffer = Pool.size then Pool.with_buffer (fun b -> go b 0) else go (Pool.create buffer) 0

(* The end *)

let shutdown (d : _ t) side =
  d.io.shutdown d side;
  if side <> `Send then Descriptor.forget d

let close = Descriptor.close
let is_open (d : _ t) = d.is_open
let with_close = Descriptor.closing

(* Bytes leave the buffer only when a call has all that it needs, so that no exception, cancellation
   included, loses any. *)
module Reader = struct
  type t = {
    descriptor : Descriptor.t;
    size : int;
    mutable buffer : bytes;  (** Of [size], unless it isn't empty. *)
    mutable first : int;  (** Bytes [first … last - 1] are buffered. *)
    mutable last : int;
  }

  let create ?(size = 4096) descriptor =
    if size < 16 || size > Sys.max_string_length then
      invalid_arg "Soil.File_descriptor.Reader.create: size out of range";
    { descriptor; size; buffer = Bytes.create size; first = 0; last = 0 }

  let buffered r = r.last - r.first

  let set r buffer last =
    r.buffer <- buffer;
    r.first <- 0;
    r.last <- last

  let move_to r buffer =
    let n = buffered r in
    Bytes.blit r.buffer r.first buffer 0 n;
    set r buffer n

  (* Adds to what is buffered. [false] at the end of input. *)
  let more r =
    let length = Bytes.length r.buffer in
    if buffered r = 0 then set r (if length = r.size then r.buffer else Bytes.create r.size) 0
    else if r.first > length / 2 then move_to r r.buffer
    else if r.last = length then move_to r (Bytes.create (2 * length));
    let room = Bytes.length r.buffer - r.last in
    let n = r.descriptor.io.read r.descriptor r.buffer r.last room in
    r.last <- r.last + n;
    n > 0

  let peek r = if buffered r > 0 || more r then Some (Bytes.get r.buffer r.first) else None

  let input r b off len =
    Descriptor.check_bytes "Reader.input" b off len;
    if len = 0 then 0
    else if buffered r = 0 && len >= r.size then r.descriptor.io.read r.descriptor b off len
    else if buffered r > 0 || more r then (
      let n = min len (buffered r) in
      Bytes.blit r.buffer r.first b off n;
      r.first <- r.first + n;
      n)
    else 0

  let take_string r n =
    let s = Bytes.sub_string r.buffer r.first n in
    r.first <- r.first + n;
    s

  let rec exactly r n =
    if n < 0 then invalid_arg "Soil.File_descriptor.Reader.exactly: negative length";
    if n <= buffered r then take_string r n
    else if n <= r.size then if more r then exactly r n else raise End_of_file
    else
      let b = Bytes.create n and got = ref (buffered r) in
      Bytes.blit r.buffer r.first b 0 !got;
      undoing (fun () -> set r b !got) (fun () -> fill (r.descriptor.io.read r.descriptor b) n got);
      set r r.buffer 0;
      Bytes.unsafe_to_string b

  let rec newline b i last =
    if i >= last then last else if Bytes.unsafe_get b i = '\n' then i else newline b (i + 1) last

  (* The number of bytes before [at], without a return that may be part of the line's end. *)
  let length_to r at =
    let length = at - r.first in
    if length > 0 && Bytes.get r.buffer (at - 1) = '\r' then length - 1 else length

  let line ?(max = 65536) r =
    let check length = if length > max then too_large "read line" (name r.descriptor) max in
    (* There is no end of line in the first [seen] bytes. *)
    let rec go seen =
      let at = newline r.buffer (r.first + seen) r.last in
      check (length_to r at);
      if at < r.last then (
        let line = take_string r (length_to r at) in
        r.first <- at + 1;
        line)
      else
        let seen = buffered r in
        if more r then go seen
        else if seen = 0 then raise End_of_file
        else (
          check seen;
          take_string r seen)
    in
    go 0

  let line_opt ?max r = match line ?max r with s -> Some s | exception End_of_file -> None

  let to_end ?(max = default_max) r =
    let already = Bytes.sub r.buffer r.first (buffered r) in
    let undo b = set r b (Bytes.length b) in
    let all = read_to_end ~max ~already ~undo r.descriptor in
    set r r.buffer 0;
    all
end
