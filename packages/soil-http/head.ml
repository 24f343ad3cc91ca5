(** Message heads ({{:https://www.rfc-editor.org/rfc/rfc9112}RFC 9112}). Private to [soil-http].

    Cohttp's own parser accepts lines that end with LF alone, a space before the colon, folded
    lines, [Content-Length: +5] and two lengths, and ends the head at a line without a colon. Each
    allows request smuggling past a proxy, so heads are parsed here by the grammar, into Cohttp's
    types. *)

module H = Cohttp.Header

exception Refused of Cohttp.Code.status_code

type framing = Length of int | Chunked | To_end  (** The type for body framings. *)

type request = {
  request : Cohttp.Request.t;
  framing : framing;
  persistent : bool;  (** The client keeps the connection open. *)
  expects : bool;  (** It expects [100 Continue] before the body. *)
  size : int;  (** About the bytes of memory that the head takes. *)
}

type response = {
  status : int;
  version : Cohttp.Code.version;
  headers : H.t;
  framing : framing;
  persistent : bool;
  size : int;  (** As of a request; 0 of HTTP/2, which counts it for its stream. *)
}

(** [default_http2] is the limits of HTTP/2, for either end. *)
let default_http2 : Limits.http2 =
  {
    streams = 100;
    streams_per_second = 20_000;
    heads_bytes = 65536;
    continuations = 8;
    odd_frames = 200;
    odd_frames_per_second = 20;
    window_bytes = 1 lsl 20;
    stream_bytes = 1 lsl 18;
    table_bytes = 4096;
  }

let refuse status = Soil_backtrace.raise (Refused status)
let bad () = refuse `Bad_request

(* Reading. A head stays bytes until all of it has come, which take less memory than its parts, and
   can be given up at once. [parse] takes it from the buffer. Where it isn't complete, the same
   functions wait for the rest first, and check each line as it comes. *)

(* Servers may send what a request must not have: white space before the colon (RFC 9112 §5.1), and
   folded lines (§5.2). Either is taken away before anything is made of the field, so that a proxy
   passes none on. *)
type rules = Strict | Lenient

type cursor = {
  input : Input.t;
  rules : rules;
  limits : Limits.t;
  waits : bool;
  mutable at : int;  (** Buffered bytes before the next line. *)
  mutable count : int;  (** Of the fields before it. *)
  mutable left : int;  (** Of the limit of bytes; a line counts with its end. *)
}

let line c too_large =
  let max = if c.left - 2 < c.limits.line_bytes then c.left - 2 else c.limits.line_bytes in
  match
    if c.waits then Input.line c.input ~from:c.at ~max else Input.line_here c.input ~from:c.at ~max
  with
  | n ->
      c.left <- c.left - n - 2;
      n
  | exception Input.Too_long -> refuse too_large

let skip_line c n = c.at <- c.at + n + 2
let is_space c = c = ' ' || c = '\t'

let rec skip_spaces input i n =
  if i < n && is_space (Input.get input i) then skip_spaces input (i + 1) n else i

let rec cut_spaces input i n =
  if n > i && is_space (Input.get input (n - 1)) then cut_spaces input i (n - 1) else n

let value input i stop =
  let first = skip_spaces input i stop in
  let value = Input.sub input first (cut_spaces input first stop - first) in
  if not (Grammar.is_value value) then bad ();
  value

let field { input; rules; at; _ } n =
  let stop = at + n in
  let colon = Input.index input ':' at stop in
  if colon = stop then bad ();
  let name_end = if rules = Lenient then cut_spaces input at colon else colon in
  let name = Input.sub input at (name_end - at) in
  if not (Grammar.is_token name) then bad ();
  (name, value input (colon + 1) stop)

let unfolded before more =
  match (before, more) with "", s | s, "" -> s | before, more -> before ^ " " ^ more

let fold_fields c add headers =
  let close headers = function Some field -> add headers field | None -> headers in
  (* A folded line counts as a field. *)
  let rec go headers last =
    match line c `Request_header_fields_too_large with
    | 0 ->
        skip_line c 0;
        close headers last
    | n ->
        if c.count = c.limits.fields then refuse `Request_header_fields_too_large;
        let headers, field =
          match last with
          | Some (name, before) when c.rules = Lenient && is_space (Input.get c.input c.at) ->
              (headers, (name, unfolded before (value c.input c.at (c.at + n))))
          | _ -> (close headers last, field c n)
        in
        skip_line c n;
        c.count <- c.count + 1;
        go headers (Some field)
  in
  go headers None

let add_field headers (name, value) = H.add headers name value

(* What a field takes beside its text. *)
let field_bytes = 80

let parse input (limits : Limits.t) rules first_line =
  let cursor waits = { input; rules; limits; waits; at = 0; count = 0; left = limits.head_bytes } in
  let here () =
    let c = cursor false in
    let first = first_line c in
    let headers = fold_fields c add_field (H.init ()) in
    Input.skip input c.at;
    Input.trim input;
    (first, headers, c.at + (field_bytes * c.count))
  in
  match here () with
  | parsed -> parsed
  | exception Input.Incomplete ->
      let c = cursor true in
      ignore (first_line c);
      fold_fields c (fun () _ -> ()) ();
      here ()

(* Whatever ends the head, it is the peer's mistake. *)
let well_formed f = try f () with Input.Malformed | End_of_file -> bad ()

(** [fields input limits] is the fields up to an empty line, as in the trailer of a chunked body. *)
let fields input limits =
  well_formed (fun () ->
      let (), headers, _ = parse input limits Strict ignore in
      headers)

(* 18 digits always fit; what is longer is too large in any case. *)
let length_of_string s =
  if not (Grammar.is_digits s) then bad ();
  if String.length s > 18 then refuse `Request_entity_too_large;
  int_of_string s

(* Two opinions on where a body ends are how requests are smuggled (RFC 9112 §6.3), so that there
   has to be one, said once. *)
let framing headers ~version ~otherwise =
  match (H.get_multi headers "content-length", H.get_multi headers "transfer-encoding") with
  | [], [] -> otherwise
  | [ length ], [] -> Length (length_of_string length)
  | [], [ coding ] when version <> `HTTP_1_0 -> (
      match Grammar.elements coding with
      | [ word ] when Grammar.equal word "chunked" -> Chunked
      | words -> (
          match List.rev words with
          | last :: before
            when Grammar.equal last "chunked" && not (List.exists (Grammar.equal "chunked") before)
            ->
              refuse `Not_implemented
          | _ -> bad ()))
  | _ -> bad ()

let is_persistent headers = function
  | `HTTP_1_0 -> Grammar.mem headers "connection" "keep-alive"
  | _ -> not (Grammar.mem headers "connection" "close")

(* Requests *)

(* A later 1.x is understood as 1.1 (RFC 9110 §2.5). *)
let version s =
  if s = "HTTP/1.1" then `HTTP_1_1
  else
    let is_version =
      String.length s = 8
      && String.starts_with ~prefix:"HTTP/" s
      && Grammar.is_digits (String.sub s 5 1)
      && s.[6] = '.'
      && Grammar.is_digits (String.sub s 7 1)
    in
    if not is_version then bad ()
    else if s.[5] <> '1' then refuse `Http_version_not_supported
    else if s.[7] = '0' then `HTTP_1_0
    else `HTTP_1_1

let is_target_char c = c > ' ' && c < '\127' && c <> '#'
let is_target s = s <> "" && String.for_all is_target_char s

(* [http://host/path] stands for [/path] at this host, whatever the field says (RFC 9112 §3.2.2). *)
let absolute target =
  match String.index_opt target ':' with
  | Some i
    when List.exists (Grammar.equal (String.sub target 0 i)) [ "http"; "https" ]
         && String.length target > i + 3
         && String.sub target i 3 = "://" ->
      let rest = String.sub target (i + 3) (String.length target - i - 3) in
      let length = String.length rest in
      let rec authority_end i =
        if i < length && rest.[i] <> '/' && rest.[i] <> '?' then authority_end (i + 1) else i
      in
      let at = authority_end 0 in
      let path = String.sub rest at (length - at) in
      (String.sub rest 0 at, if String.starts_with ~prefix:"/" path then path else "/" ^ path)
  | _ -> bad ()

let request_line c =
  let rec go () =
    match line c `Request_uri_too_long with
    | 0 ->
        (* Empty lines before a request are to be ignored (RFC 9112 §2.2). *)
        skip_line c 0;
        go ()
    | n -> n
  in
  let n = go () in
  let { input; at; _ } = c in
  let stop = at + n in
  let first = Input.index input ' ' at stop in
  let second = Input.index input ' ' (first + 1) stop in
  if second >= stop || Input.index input ' ' (second + 1) stop < stop then bad ();
  let meth = Input.sub input at (first - at) in
  let target = Input.sub input (first + 1) (second - first - 1) in
  if not (Grammar.is_token meth && is_target target) then bad ();
  let version = version (Input.sub input (second + 1) (stop - second - 1)) in
  skip_line c n;
  (Cohttp.Code.method_of_string meth, target, version)

let host headers version =
  match H.get_multi headers "host" with
  | [ host ] -> if not (Grammar.is_host host) then bad ()
  | [] when version = `HTTP_1_0 -> ()
  | _ -> bad ()

(** [request input limits] waits for the head of a request.
    @raise Refused if it is malformed or too large. *)
let request input (limits : Limits.t) : request =
  well_formed @@ fun () ->
  let (meth, target, version), headers, size = parse input limits Strict request_line in
  host headers version;
  let resource, headers =
    match (meth, target) with
    | `CONNECT, _ -> refuse `Not_implemented
    | `OPTIONS, "*" -> (target, headers)
    | _ when target.[0] = '/' -> (target, headers)
    | _ ->
        let host, path = absolute target in
        if not (Grammar.is_host host) then bad ();
        (path, H.replace headers "host" host)
  in
  let framing = framing headers ~version ~otherwise:(Length 0) in
  let expects =
    match H.get_multi headers "expect" with
    | [] -> false
    | [ word ] when Grammar.equal word "100-continue" -> version <> `HTTP_1_0 && framing <> Length 0
    | _ -> refuse `Expectation_failed
  in
  let encoding =
    match framing with
    | Length n -> Cohttp.Transfer.Fixed (Int64.of_int n)
    | Chunked | To_end -> Cohttp.Transfer.Chunked
  in
  let request = Message.request (meth, resource, version) headers encoding in
  { request; framing; persistent = is_persistent headers version; expects; size }

(* Responses *)

let status_line c =
  let n = line c `Bad_gateway in
  let { input; at; _ } = c in
  if n < 12 || Input.get input (at + 8) <> ' ' || (n > 12 && Input.get input (at + 12) <> ' ') then
    bad ();
  let version = version (Input.sub input at 8) and status = Input.sub input (at + 9) 3 in
  (* Those from 600 on are invalid, and are sent all the same (RFC 9110 §15): as a failure. *)
  if (not (Grammar.is_digits status)) || status < "100" then bad ();
  skip_line c n;
  (version, int_of_string status)

(** [response input limits ~meth] is likewise the head of a response to a [meth] request, also an
    interim one. *)
let response input (limits : Limits.t) ~meth : response =
  well_formed @@ fun () ->
  let (version, status), headers, size = parse input limits Lenient status_line in
  let framing =
    if meth = `HEAD || status < 200 || status = 204 || status = 304 then Length 0
    else framing headers ~version ~otherwise:To_end
  in
  let persistent = framing <> To_end && is_persistent headers version in
  { status; version; headers; framing; persistent; size }

(* Writing *)

(* [string_of_int] is the C library's [printf]. *)

(** [write_number b n] adds [n], which isn't negative, in decimal. *)
let rec write_number b n =
  if n > 9 then write_number b (n / 10);
  Buffer.add_char b (Char.unsafe_chr (Char.code '0' + (n mod 10)))

(** [write_own b name value] adds one of Soil's own fields. *)
let write_own b name value =
  Buffer.add_string b name;
  Buffer.add_string b ": ";
  Buffer.add_string b value;
  Buffer.add_string b "\r\n"

(** [write_field b (name, value)] adds one of the program's fields.
    @raise Invalid_argument as {!write} does. *)
let write_field b (name, value) =
  if not (Grammar.is_token name && Grammar.is_value value) then
    invalid_arg ("Soil_http: not a header field: " ^ String.escaped name);
  write_own b name value

(** [finish b] adds the empty line after the fields. *)
let finish b = Buffer.add_string b "\r\n"

(** [write b fields] adds the fields and the empty line after them.
    @raise Invalid_argument
      if a name or a value is invalid: a line break would allow header injection. *)
let write b fields =
  List.iter (write_field b) fields;
  finish b
