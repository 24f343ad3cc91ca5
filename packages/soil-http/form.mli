(** Forms that browsers submit: [application/x-www-form-urlencoded]
    ({{:https://url.spec.whatwg.org/#application/x-www-form-urlencoded}URL standard}) and
    [multipart/form-data] ({!Multipart}).

    {[
      let receive request =
        let save (part : Multipart.part) contents = store ~name:(new_name ()) contents in
        let form = Form.read ~file:save request in
        match Form.find form "title" with
        | Some title -> show title
        | None -> Server.status `Bad_request
    ]} *)

type t = (string * string) list
(** The type for forms: names and values of the fields in their order. A name may occur several
    times. All are UTF-8. *)

val find : t -> string -> string option
(** [find form name] is the value of the first field [name]. *)

val read :
  ?max:int ->
  ?max_fields:int ->
  ?max_field:int ->
  ?file:(Multipart.part -> Soil.Flow.source -> unit) ->
  Server.request ->
  t
(** [read request] is the form in the body of [request], of either type. Waits.

    [file part contents] gets each file of a [multipart/form-data] body while it is received, as
    {!Multipart.iter} does; files aren't kept in memory. Fields of the form for which the user has
    selected no file are skipped. Fields before a file have been read, but not yet returned.

    Raises {!Server.Refused}, which handlers needn't catch:

    - [`Unsupported_media_type] if the body's type is neither, or has a character set that isn't
      UTF-8;
    - [`Bad_request] if the body is malformed or isn't UTF-8, or if there is a file and no [file];
    - [`Request_entity_too_large] if there are more than [max] bytes (default: that of
      {!Server.val-body}), more than [max_fields] fields and files (default: 100), or a name or
      value of more than [max_field] bytes (default: 65536), apart from files;
    - and as reading a body does. *)

(** {1:text Text} *)

val decode : string -> t option
(** [decode s] is the form that [s] encodes, as in a query, or [None] if an escape is malformed or
    the text isn't UTF-8. *)

val encode : t -> string
(** [encode form] is [form] as [application/x-www-form-urlencoded], for {!Client.post} or a query.
*)
