(** Requests and responses by Cohttp, in direct style on Soil's descriptors, with limits of size and
    time. *)

exception Refused of Cohttp.Code.status_code
(** The request can't be served, and how to say so. *)

type connection = private { descriptor : Soil.File_descriptor.flow; reader : Soil.Reader.t }
(** The type for a client's connection. *)

val connection : [> `Read | `Write | `Shutdown ] Soil.File_descriptor.t -> connection
(** [connection d] is the connection [d], from which nothing was read yet. *)

val request : connection -> Cohttp.Request.t option
(** [request c] waits for the next request; [None] if the client has no more, or is idle for too
    long.
    @raise Refused if it is malformed, too large or too slow. *)

val has_body : Cohttp.Request.t -> bool
(** [has_body r] is [true] iff [r] announces a body, whatever its method. *)

val respond : connection -> Cohttp.Response.t -> string -> unit
(** [respond c r text] sends the head of [r], and [text] after it. *)

val send : connection -> Soil.File_descriptor.buffer -> int -> unit
(** [send c b n] sends the first [n] bytes of [b]. *)

val finish : connection -> unit
(** [finish c] tells the client that nothing more will come, and gives it a moment to read the last
    response: closing while it still sends would reset the connection, and the response might be
    lost. *)
