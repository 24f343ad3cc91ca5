(** Heads of HTTP/2 as those of HTTP/1.1, and back
    ({{:https://www.rfc-editor.org/rfc/rfc9113#section-8}RFC 9113 §8}). Private to [soil-http].

    Handlers and clients see the same requests and responses for both versions. What could be taken
    for something else in HTTP/1.1 (a line break, a second length, a field of the connection) is
    malformed here. *)

module H = Cohttp.Header

exception Malformed
(** The head makes its message malformed (RFC 9113 §8.1.1): a stream error. *)

(** The version of messages in HTTP/2. *)
let version : Cohttp.Code.version = `Other "HTTP/2.0"

let malformed () = Soil_backtrace.raise Malformed

(* Of the connection, which HTTP/2 has other means for (RFC 9113 §8.2.2). *)
let is_of_connection = function
  | "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade" -> true
  | _ -> false

let is_lower name = String.for_all (fun c -> not (c >= 'A' && c <= 'Z')) name
let is_space c = c = ' ' || c = '\t'

let check_value value =
  let n = String.length value in
  if (not (Grammar.is_value value)) || (n > 0 && (is_space value.[0] || is_space value.[n - 1]))
  then malformed ()

let check_field (name, value) =
  if not (is_lower name && Grammar.is_token name) then malformed ();
  check_value value;
  if is_of_connection name || (name = "te" && not (Grammar.equal value "trailers")) then
    malformed ()

(* Fields before any other whose names begin with a colon, each once. *)
let rec pseudo known found = function
  | (name, value) :: rest when String.length name > 0 && name.[0] = ':' ->
      if (not (List.mem name known)) || List.mem_assoc name found then malformed ();
      check_value value;
      pseudo known ((name, value) :: found) rest
  | rest -> (found, rest)

(* Crumbs of a cookie come in fields of their own (RFC 9113 §8.2.3). *)
let headers fields =
  let crumbs = Buffer.create 0 in
  let rest =
    List.filter
      (fun ((name, value) as field) ->
        check_field field;
        name <> "cookie"
        ||
        (if Buffer.length crumbs > 0 then Buffer.add_string crumbs "; ";
         Buffer.add_string crumbs value;
         false))
      fields
  in
  let headers = H.of_list rest in
  if Buffer.length crumbs = 0 then headers else H.add headers "cookie" (Buffer.contents crumbs)

let length headers =
  match H.get_multi headers "content-length" with
  | [] -> None
  | [ digits ] when Grammar.is_digits digits && String.length digits <= 18 ->
      Some (int_of_string digits)
  | _ -> malformed ()

(* [last]: there is no body. *)
let framing headers ~last =
  match length headers with
  | Some n when last && n > 0 -> malformed ()
  | Some n -> Head.Length n
  | None -> if last then Length 0 else To_end

let encoding = function
  | Head.Length n -> Cohttp.Transfer.Fixed (Int64.of_int n)
  | Chunked | To_end -> Chunked

(* Requests *)

let size fields =
  List.fold_left (fun n (name, value) -> n + String.length name + String.length value + 80) 0 fields

(* What a client of RFC 8441 leaves out, and {!Websocket.accept} asks for. *)
let websocket_fields =
  [ ("upgrade", "websocket"); ("connection", "upgrade"); ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==") ]
[@@ocamlformat "disable"]

let authority found headers =
  match (List.assoc_opt ":authority" found, H.get_multi headers "host") with
  | Some a, [] -> a
  | Some a, [ host ] when String.lowercase_ascii a = String.lowercase_ascii host -> a
  | None, [ host ] -> host
  | _ -> malformed ()

(** [request fields ~last] is the request with these fields; [last] if it has no body. An extended
    [CONNECT] for WebSocket is a [GET] with an upgrade.
    @raise Malformed if it is.
    @raise Head.Refused if it is well-formed and can't be served. *)
let request fields ~last : Head.request =
  let known = [ ":method"; ":scheme"; ":path"; ":authority"; ":protocol" ] in
  let found, rest = pseudo known [] fields in
  let headers = headers rest in
  let get name = match List.assoc_opt name found with Some v -> v | None -> malformed () in
  let meth = get ":method" and protocol = List.assoc_opt ":protocol" found in
  if not (Grammar.is_token meth) then malformed ();
  if meth = "CONNECT" && protocol = None then Head.refuse `Not_implemented;
  if protocol <> None && meth <> "CONNECT" then malformed ();
  let path = get ":path" in
  if not (Grammar.is_token (get ":scheme")) then malformed ();
  if not (Head.is_target path) then malformed ();
  if not (path.[0] = '/' || (path = "*" && meth = "OPTIONS")) then malformed ();
  let host = authority found headers in
  if not (Grammar.is_host host) then malformed ();
  let headers = H.of_list (("host", host) :: H.to_list (H.remove headers "host")) in
  (* What follows an upgrade isn't a body. *)
  let framing = if protocol = None then framing headers ~last else Length 0 in
  let expects =
    match H.get_multi headers "expect" with
    | [] -> false
    | [ word ] when Grammar.equal word "100-continue" -> framing <> Length 0
    | _ -> Head.refuse `Expectation_failed
  in
  let meth, headers =
    match protocol with
    | None -> (meth, headers)
    (* The handshake has none (RFC 8441 §5): a backend of HTTP/1.1 gets ours. *)
    | Some "websocket" when H.mem headers "sec-websocket-key" -> Head.refuse `Bad_request
    | Some "websocket" -> ("GET", H.add_list headers websocket_fields)
    | Some _ -> Head.refuse `Not_implemented
  in
  let request =
    Message.request (Cohttp.Code.method_of_string meth, path, version) headers (encoding framing)
  in
  { request; framing; persistent = true; expects; size = size fields }

let lower (name, value) = (String.lowercase_ascii name, value)

let own_field (name, value) =
  if not (Grammar.is_token name && Grammar.is_value value) then
    invalid_arg ("Soil_http: not a header field: " ^ String.escaped name);
  (name, String.trim value)

(** [fields headers] is the fields of [headers] that go into a head of HTTP/2, with names in lower
    case.
    @raise Invalid_argument as {!Head.write} does. *)
let fields headers =
  List.filter_map
    (fun field ->
      let ((name, _) as field) = own_field (lower field) in
      if is_of_connection name || name = "host" then None else Some field)
    headers

let is_upgrade headers = Grammar.mem headers "connection" "upgrade"

(** [of_text text ~scheme] is the fields of the request whose head in HTTP/1.1 is [text], as
    {!Exchange} and {!Proxy} write it. One that asks for an upgrade to WebSocket is an extended
    [CONNECT], and its key the second result. *)
let of_text text ~scheme =
  let line text = fst (Soil.Private.cut '\r' text) in
  let field text =
    let name, value = Soil.Private.cut ':' (line text) in
    (name, String.trim value)
  in
  match String.split_on_char '\n' text with
  | [] -> malformed ()
  | first :: rest -> (
      let l = List.map field (List.filter (fun text -> line text <> "") rest) in
      let headers = H.of_list l in
      let authority = Option.value (H.get headers "host") ~default:"" in
      match String.split_on_char ' ' (line first) with
      | meth :: target :: _ when not (is_upgrade headers) ->
          ( (":method", meth) :: (":scheme", scheme) :: (":authority", authority)
            :: (":path", target) :: fields l,
            None )
      | _ :: target :: _ ->
          let protocol = Option.value (H.get headers "upgrade") ~default:"" in
          let l = List.filter (fun (name, _) -> not (Grammar.equal name "sec-websocket-key")) l in
          ( (":method", "CONNECT") :: (":protocol", protocol) :: (":scheme", scheme)
            :: (":authority", authority) :: (":path", target) :: fields l,
            Some (Option.value (H.get headers "sec-websocket-key") ~default:"") )
      | _ -> malformed ())

(* Responses *)

(** [response fields ~last ~meth] is the response with these fields to a request of method [meth],
    also an interim one.
    @raise Malformed if it is. *)
let response fields ~last ~meth : Head.response =
  let found, rest = pseudo [ ":status" ] [] fields in
  let headers = headers rest in
  let status =
    match List.assoc_opt ":status" found with
    | Some s when String.length s = 3 && Grammar.is_digits s && s >= "100" && s <> "101" ->
        int_of_string s
    | _ -> malformed ()
  in
  let framing =
    if status < 200 then if last then malformed () else Head.Length 0
    else if meth = `HEAD || status = 204 || status = 304 then Length 0
    else framing headers ~last
  in
  { status; version; headers; framing; persistent = true; size = 0 }

(** [response_fields status l] is the fields of a response. *)
let response_fields status l = (":status", string_of_int status) :: fields l

(** [trailers l] is the fields after a body, as headers.
    @raise Malformed if they are. *)
let trailers l = headers l
