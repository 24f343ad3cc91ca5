(** [multipart/form-data] as streams ({{:https://www.rfc-editor.org/rfc/rfc7578}RFC 7578}, on
    {{:https://www.rfc-editor.org/rfc/rfc2046#section-5.1}RFC 2046 §5.1}).

    {!Form} reads forms whose fields are short and whose files go elsewhere; this module has each
    part as a flow.

    The syntax is strict, so that no two parsers see different parts: the body begins with a
    delimiter and ends with the last one and at most one CRLF, a delimiter has no padding, lines end
    with CRLF, and each part has exactly one name. *)

type part = {
  name : string;  (** Of the form's field. *)
  filename : string option;
      (** The name of a file at the client, without folders; [""] if none was selected. It is the
          client's text: don't use it as a path. *)
  content_type : Media_type.t option;
  headers : Cohttp.Header.t;
}
(** The type for parts. [name] and [filename] are UTF-8 without control characters; browsers send
    ["%22"] for a quote in them, and this stays. *)

val iter :
  ?max:int ->
  ?max_parts:int ->
  ?max_head:int ->
  Server.request ->
  (part -> Soil.Flow.source -> unit) ->
  unit
(** [iter request f] runs [f part contents] for each part of the body, in order. [contents] ends
    with the part, and is closed when [f] returns; what [f] hasn't read is skipped. Waits. Raises
    {!Server.Refused}, which handlers needn't catch:

    - [`Unsupported_media_type] if the body's type is another one;
    - [`Bad_request] if the body is malformed or ends early;
    - [`Request_entity_too_large] if it has more than [max] bytes (default: that of
      {!Server.val-body}), more than [max_parts] parts (default: 100), or a part with a head of more
      than [max_head] bytes (default: 4096);
    - and as reading a body does. *)

val parse :
  ?max_parts:int ->
  ?max_head:int ->
  boundary:string ->
  [> `Read ] Soil.File_descriptor.t ->
  (part -> Soil.Flow.source -> unit) ->
  unit
(** [parse ~boundary d f] is likewise for the input of [d] with this [boundary]. Raises
    [Invalid_argument] if that isn't a boundary: 1 to 70 characters of RFC 2046, the last one not a
    space. *)
