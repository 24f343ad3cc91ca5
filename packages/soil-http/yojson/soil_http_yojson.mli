(** JSON bodies for [soil-http], as values of the library [yojson].

    {[
      module Json = Soil_http_yojson

      let decode json = Yojson.Safe.Util.(to_string (member "name" json), to_int (member "n" json))

      let add =
        Json.handle decode @@ fun _request (name, n) ->
        Json.response ~status:`Created (`Assoc [ (name, `Int (n + 1)) ])
    ]} *)

val handle :
  ?max:int ->
  ?max_depth:int ->
  ?max_values:int ->
  (Yojson.Safe.t -> 'a) ->
  (Soil_http.Server.request -> 'a -> Soil_http.Server.response) ->
  Soil_http.Server.request ->
  Soil_http.Server.response
(** [handle decode f request] is [f request (decode json)] for the JSON in the body of [request].
    Otherwise it is an error with the reason ({!Soil_http.Server.error}), by default a
    {!Soil_http.Server.Error.problem}:

    - 415 if the body's type is neither [application/json] nor ends with [+json];
    - 400 if the body isn't JSON, with the line and the byte, as by {!parse};
    - 400 with its text if [decode] raises {!Invalid}, or [Yojson.Safe.Util]'s [Type_error] or
      [Undefined].

    Waits; other tasks run after each 4 KiB of the text. The values count in {!Soil.Budget} until
    the response was sent; without room there the client gets 503. Raises as
    {!Soil_http.Server.body_string}, with the same [max]. *)

val read :
  ?max:int ->
  ?max_depth:int ->
  ?max_values:int ->
  (Yojson.Safe.t -> 'a) ->
  Soil_http.Server.request ->
  ('a, Soil_http.Server.response) result
(** [read decode request] is the decoded body, or the response that {!handle} would give. *)

exception Invalid of string
(** Raised by functions that decode, with what is wrong, such as ["age: less than 0"]. *)

val parse : ?max_depth:int -> ?max_values:int -> string -> (Yojson.Safe.t, string) result
(** [parse s] is the value of [s], JSON of {{:https://www.rfc-editor.org/rfc/rfc8259}RFC 8259}
    without Yojson's extensions (comments, [NaN], tuples, …): or an error such as
    ["line 2, byte 5: not a number: 01"]. Lines and bytes begin with 1. It is also an error if

    - arrays and objects are nested more than [max_depth] deep (default: 100);
    - there are more than [max_values] values (default: 100,000). Arrays, objects and the names in
      them count, too: each takes up to 100 bytes of memory, of the text's two;
    - a name occurs twice in an object: readers differ in which one counts;
    - a number has more than 1000 characters;
    - the text isn't UTF-8, or an escape is a half of a surrogate pair;
    - a number with a fraction or an exponent exceeds those of [float].

    Integers beyond [int] are [`Intlit]. Doesn't yield: {!read} and {!handle} do. *)

(** {1:responses Responses} *)

val response :
  ?status:Cohttp.Code.status_code ->
  ?headers:Cohttp.Header.t ->
  Yojson.Safe.t ->
  Soil_http.Server.response
(** [response json] has the body [json] and the type [application/json]. Raises [Invalid_argument]
    if a number isn't finite. *)
