(** The buffer of {!Reader}. Private to Soil.

    A call consumes bytes only when it has enough, so that no exception, including cancellation,
    loses any. *)

type t = {
  descriptor : Descriptor.t;
  size : int;
  mutable buffer : bytes;  (** Of length [size] if empty. *)
  mutable first : int;  (** Bytes [first … last - 1] are buffered. *)
  mutable last : int;
  mutable before_read : unit -> unit;  (** Called before each read from [descriptor]. *)
}

let create size descriptor =
  if size < 16 || size > Sys.max_string_length then
    invalid_arg "Soil.Reader.create: size out of range";
  { descriptor; size; buffer = Bytes.create size; first = 0; last = 0; before_read = ignore }

let buffered r = r.last - r.first

(** [set r b n] replaces the buffered bytes with the first [n] bytes of [b]. *)
let set r buffer last =
  r.buffer <- buffer;
  r.first <- 0;
  r.last <- last

let move_to r buffer =
  let n = buffered r in
  Bytes.blit r.buffer r.first buffer 0 n;
  set r buffer n

(** [read r b off len] reads from the descriptor, past the buffer. *)
let read r b off len =
  r.before_read ();
  r.descriptor.io.read r.descriptor b off len

(** [more r] buffers more bytes, and is [false] at the end of input. *)
let more r =
  let length = Bytes.length r.buffer in
  if buffered r = 0 then set r (if length = r.size then r.buffer else Bytes.create r.size) 0
  else if r.first > length / 2 then move_to r r.buffer
  else if r.last = length then move_to r (Bytes.create (2 * length));
  let room = Bytes.length r.buffer - r.last in
  let n = read r r.buffer r.last room in
  r.last <- r.last + n;
  n > 0

let rec ensure r n =
  if buffered r < n then if more r then ensure r n else Soil_backtrace.raise End_of_file

(** [advance r n] takes [n] buffered bytes; the result is their offset in [r.buffer]. *)
let advance r n =
  let at = r.first in
  r.first <- at + n;
  at

(** [next r n] is {!advance}[ r n] as soon as [n] bytes are buffered. *)
let next r n =
  ensure r n;
  advance r n

(** [taken r n] is {!advance}[ r n] as a string. *)
let taken r n =
  let b = Bytes.create n in
  Bytes.unsafe_blit r.buffer (advance r n) b 0 n;
  Bytes.unsafe_to_string b

let peek r = if buffered r > 0 || more r then Some (Bytes.get r.buffer r.first) else None
let at_end r = buffered r = 0 && not (more r)

let char r =
  if r.first = r.last then ensure r 1;
  Bytes.get r.buffer (advance r 1)

let input r b off len =
  Descriptor.check_bytes "Reader.input" b off len;
  if len = 0 then 0
  else if buffered r = 0 && len >= r.size then read r b off len
  else if at_end r then 0
  else
    let n = min len (buffered r) in
    Bytes.blit r.buffer (advance r n) b off n;
    n

(* Memory follows what has come: [n] may be what the peer has announced. *)
let take_large r n =
  let got = ref (buffered r) in
  let b = ref (Bytes.create (min n (2 * max r.size !got))) in
  Bytes.blit r.buffer r.first !b 0 !got;
  let rec fill () =
    let room = Bytes.length !b - !got in
    if room > 0 then (
      let n = read r !b !got room in
      if n = 0 then raise End_of_file;
      got := !got + n;
      fill ())
    else if !got < n then (
      b := Bytes.extend !b 0 (min !got (n - !got));
      fill ())
  in
  Failure.undoing (fun () -> set r !b !got) fill;
  set r r.buffer 0;
  Bytes.unsafe_to_string !b

let take r n =
  if n < 0 then invalid_arg "Soil.Reader.take: negative length";
  if n > buffered r && n > r.size then take_large r n
  else (
    if n > buffered r then ensure r n;
    taken r n)

(** [too_large operation r max] raises the error [Too_large] for more than [max] bytes. *)
let too_large operation r max =
  Descriptor.too_large operation (r.descriptor.io.describe r.descriptor) max

let rec newline b i last =
  if i >= last then last else if Bytes.unsafe_get b i = '\n' then i else newline b (i + 1) last

(* The number of bytes before [at], without a return that may be part of the line's end. *)
let length_to r at =
  let length = at - r.first in
  if length > 0 && Bytes.get r.buffer (at - 1) = '\r' then length - 1 else length

let check_line r max length = if length > max then too_large "read line" r max

(* There is no end of line in the first [seen] bytes. *)
let rec line_after r max seen =
  let at = newline r.buffer (r.first + seen) r.last in
  let length = length_to r at in
  check_line r max length;
  if at < r.last then (
    let line = taken r length in
    r.first <- at + 1;
    line)
  else
    let seen = buffered r in
    if more r then line_after r max seen
    else if seen = 0 then Soil_backtrace.raise End_of_file
    else (
      check_line r max seen;
      taken r seen)

let line ?(max = 65536) r = line_after r max 0
let line_opt ?max r = match line ?max r with s -> Some s | exception End_of_file -> None

let to_end max r =
  r.before_read ();
  let already = Bytes.sub r.buffer r.first (buffered r) in
  let undo b = set r b (Bytes.length b) in
  let all = Descriptor.read_to_end max ~already ~undo r.descriptor in
  set r r.buffer 0;
  all
