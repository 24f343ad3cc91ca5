(** The buffer of {!Writer}. Private to Soil. *)

type t = {
  descriptor : Descriptor.t;
  buffer : bytes;  (** The last data: bytes [first … last - 1]. *)
  mutable first : int;
  mutable last : int;
  mutable front : string list;  (** The first data. *)
  mutable written : int;  (** Bytes of the first of [front] that were written. *)
  mutable back : string list;  (** The data after [front], in reverse order. *)
  mutable queued : int;  (** Bytes in [front] and [back] that weren't written. *)
}

(* Each step is noted before the next, which may be cancelled. *)
let rec write_all w =
  let d = w.descriptor in
  match (w.front, w.back) with
  | s :: rest, _ when w.written = String.length s ->
      w.front <- rest;
      w.written <- 0;
      write_all w
  | s :: _, _ ->
      (* Only read, whatever its type says. *)
      let b = Bytes.unsafe_of_string s in
      let n = d.io.write d b w.written (String.length s - w.written) in
      w.written <- w.written + n;
      w.queued <- w.queued - n;
      write_all w
  | [], (_ :: _ as back) ->
      w.front <- List.rev back;
      w.back <- [];
      write_all w
  | [], [] ->
      if w.first < w.last then (
        w.first <- w.first + d.io.write d w.buffer w.first (w.last - w.first);
        write_all w)
      else (
        w.first <- 0;
        w.last <- 0)

let pending w = w.queued + w.last - w.first
let flush w = if pending w > 0 then Descriptor.exclusively w.descriptor (fun () -> write_all w)

(** [room w n] waits until the buffer has room for [n] bytes, at most 16 or half of the buffer,
    reserves them, and is their offset in [w.buffer]. *)
let room w n =
  let size = Bytes.length w.buffer in
  if n > size - w.last || w.queued >= size then flush w;
  let at = w.last in
  w.last <- at + n;
  at

(* At least this long, a string isn't copied into the buffer. *)

(** [large w] is the length from which strings aren't copied into the buffer, half of it. *)
let large w = Bytes.length w.buffer / 2

let queue w s =
  let buffered = w.last - w.first in
  if buffered > 0 then w.back <- Bytes.sub_string w.buffer w.first buffered :: w.back;
  w.back <- s :: w.back;
  w.queued <- w.queued + buffered + String.length s;
  w.first <- 0;
  w.last <- 0

(** [add w b off len blit whole] writes [len] bytes of [b] from [off], which are there: few by
    [blit b off w.buffer at len], many as [whole b off len], which isn't copied. *)
let add w b off len blit whole =
  if len >= large w then (
    if pending w >= Bytes.length w.buffer then flush w;
    queue w (whole b off len))
  else if len > 0 then
    let at = room w len in
    blit b off w.buffer at len

(** [Bytes.blit] without its checks. *)
let blit b off buffer at len = Bytes.unsafe_blit b off buffer at len

let the_string b off len =
  if len = Bytes.length b then Bytes.unsafe_to_string b else Bytes.sub_string b off len

let string ?(off = 0) ?len w s =
  let len = match len with Some len -> len | None -> String.length s - off in
  (* Only read, whatever its type says. *)
  let b = Bytes.unsafe_of_string s in
  Descriptor.check_bytes "Writer.string" b off len;
  add w b off len blit the_string
