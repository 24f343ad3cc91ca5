(** The heads of messages ({{:https://www.rfc-editor.org/rfc/rfc9112}RFC 9112}). Private to
    [soil.http].

    Cohttp's own parser takes lines that end with LF alone, a space before the colon, folded lines,
    [Content-Length: +5] and two lengths, and ends the head at a line without a colon. Each has been
    a way to smuggle requests past a proxy, so that here the heads are read by the grammar, into
    Cohttp's types. *)

exception Refused of Cohttp.Code.status_code

(** The type for how a body ends. *)
type framing = Length of int | Chunked | To_end

type request = {
  request : Cohttp.Request.t;
  framing : framing;
  persistent : bool;  (** The client lets the connection stay open. *)
  expects : bool;  (** It keeps the body back until it is asked for. *)
}

val request : Input.t -> Limits.t -> request
(** [request input limits] waits for the head of a request.
    @raise Refused if it is malformed or too large. *)

type response = {
  status : int;
  version : Cohttp.Code.version;
  headers : Cohttp.Header.t;
  framing : framing;
  persistent : bool;
}

val response : Input.t -> Limits.t -> meth:Cohttp.Code.meth -> response
(** [response input limits ~meth] is likewise the head of a response to a request by [meth], an
    interim one included. *)

val fields : Input.t -> Limits.t -> Cohttp.Header.t
(** [fields input limits] is the fields up to an empty line, as at the end of a body in chunks. *)

val write_own : Buffer.t -> string -> string -> unit
(** [write_own b name value] adds a field of Soil's own. *)

val write_field : Buffer.t -> string * string -> unit
(** [write_field b (name, value)] adds a field of the program's.
    @raise Invalid_argument as {!write} does. *)

val finish : Buffer.t -> unit
(** [finish b] adds the empty line behind the fields. *)

val write : Buffer.t -> (string * string) list -> unit
(** [write b fields] adds the fields and the empty line behind them.
    @raise Invalid_argument
      if a name or a value isn't one: with a line break in it, it would be taken for more. *)
