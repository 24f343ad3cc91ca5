(** Message heads ({{:https://www.rfc-editor.org/rfc/rfc9112}RFC 9112}). Private to [soil.http].

    Cohttp's own parser accepts lines that end with LF alone, a space before the colon, folded
    lines, [Content-Length: +5] and two lengths, and ends the head at a line without a colon. Each
    allows request smuggling past a proxy, so heads are parsed here by the grammar, into Cohttp's
    types. *)

exception Refused of Cohttp.Code.status_code

(** The type for body framings. *)
type framing = Length of int | Chunked | To_end

type request = {
  request : Cohttp.Request.t;
  framing : framing;
  persistent : bool;  (** The client keeps the connection open. *)
  expects : bool;  (** It expects [100 Continue] before the body. *)
  size : int;  (** About the bytes of memory that the head takes. *)
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
(** [response input limits ~meth] is likewise the head of a response to a [meth] request, also an
    interim one. *)

val fields : Input.t -> Limits.t -> Cohttp.Header.t
(** [fields input limits] is the fields up to an empty line, as in the trailer of a chunked body. *)

val write_number : Buffer.t -> int -> unit
(** [write_number b n] adds [n], which isn't negative, in decimal. *)

val write_own : Buffer.t -> string -> string -> unit
(** [write_own b name value] adds one of Soil's own fields. *)

val write_field : Buffer.t -> string * string -> unit
(** [write_field b (name, value)] adds one of the program's fields.
    @raise Invalid_argument as {!write} does. *)

val finish : Buffer.t -> unit
(** [finish b] adds the empty line after the fields. *)

val write : Buffer.t -> (string * string) list -> unit
(** [write b fields] adds the fields and the empty line after them.
    @raise Invalid_argument
      if a name or a value is invalid: a line break would allow header injection. *)
