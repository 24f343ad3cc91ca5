(** The fields of one head or trailer, which HEADERS and CONTINUATION carry as one block
    ({{:https://www.rfc-editor.org/rfc/rfc9113#section-4.3}RFC 9113 §4.3}). Private to [soil-http].

    A block that is somewhat too large is collected, as it may be within the limits once it is
    decoded. Beyond that it is decoded as it comes, and only the table of HPACK is kept: the other
    streams of the connection need it, while this one has an answer (§10.5.1). *)

type t = {
  decoder : Hpack.decoder;
  limits : Limits.t;
  text : Buffer.t;  (** What isn't decoded yet. *)
  mutable parts : int;
  mutable skipping : Hpack.skipping option;
}

(** [create decoder limits] is a block of which nothing has come. *)
let create decoder limits =
  { decoder; limits; text = Buffer.create 1024; parts = 0; skipping = None }

(** [held t] is the number of bytes that it takes. *)
let held t = Buffer.length t.text

let skip t s =
  let b = Buffer.to_bytes t.text in
  let n = Bytes.length b in
  let skipped = Hpack.skip t.decoder s b 0 n in
  Buffer.clear t.text;
  Buffer.add_subbytes t.text b skipped (n - skipped)

(** [add t b off len] adds these bytes of a frame.
    @raise Hpack.Error if the block isn't valid. *)
let add t b off len =
  let is_large = t.parts > t.limits.http2.continuations || held t + len > 2 * t.limits.head_bytes in
  if is_large && t.skipping = None then t.skipping <- Some (Hpack.skipping ());
  t.parts <- t.parts + 1;
  Buffer.add_subbytes t.text b off len;
  Option.iter (skip t) t.skipping

(** [is_skipped t] is [true] once its fields aren't kept. *)
let is_skipped t = Option.is_some t.skipping

(** [decode decoder limits b off len] is the fields of a block that came in one frame, or [None] if
    they exceed the limits. The table is right in either case.
    @raise Hpack.Error likewise. *)
let decode decoder (limits : Limits.t) b off len =
  match Hpack.decode decoder b off len ~max_bytes:limits.head_bytes ~max_fields:limits.fields with
  | fields -> Some fields
  | exception Hpack.Too_large -> None

(** [fields t] is likewise the fields of a block that has come. *)
let fields t =
  match t.skipping with
  | Some s ->
      Hpack.end_of_skip s ~rest:(held t);
      None
  | None -> decode t.decoder t.limits (Buffer.to_bytes t.text) 0 (held t)
