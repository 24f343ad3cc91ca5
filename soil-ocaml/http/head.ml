module H = Cohttp.Header

exception Refused of Cohttp.Code.status_code

type framing = Length of int | Chunked | To_end
type request = { request : Cohttp.Request.t; framing : framing; persistent : bool; expects : bool }

type response = {
  status : int;
  version : Cohttp.Code.version;
  headers : H.t;
  framing : framing;
  persistent : bool;
}

let refuse status = Soil_backtrace.raise (Refused status)
let bad () = refuse `Bad_request

(* What is left of the limit of bytes; a line counts with its end. *)
let line input (limits : Limits.t) left too_large =
  let max = if !left - 2 < limits.line_bytes then !left - 2 else limits.line_bytes in
  match Input.line input ~max with
  | n ->
      left := !left - n - 2;
      n
  | exception Input.Too_long -> refuse too_large

let is_space c = c = ' ' || c = '\t'

let rec skip_spaces input i n =
  if i < n && is_space (Input.get input i) then skip_spaces input (i + 1) n else i

let rec cut_spaces input i n =
  if n > i && is_space (Input.get input (n - 1)) then cut_spaces input i (n - 1) else n

let field input headers n =
  let at = Input.index input ':' 0 n in
  if at = n then bad ();
  let name = Input.sub input 0 at in
  if not (Grammar.is_token name) then bad ();
  let first = skip_spaces input (at + 1) n in
  let value = Input.sub input first (cut_spaces input first n - first) in
  if not (Grammar.is_value value) then bad ();
  H.add headers name value

let fields_within input (limits : Limits.t) left =
  let rec go headers count =
    match line input limits left `Request_header_fields_too_large with
    | 0 ->
        Input.skip_line input 0;
        headers
    | n ->
        if count = limits.fields then refuse `Request_header_fields_too_large;
        let headers = field input headers n in
        Input.skip_line input n;
        go headers (count + 1)
  in
  go (H.init ()) 0

(* Whatever ends the head, it is the peer's mistake. *)
let well_formed f = try f () with Input.Malformed | End_of_file -> bad ()

let fields input (limits : Limits.t) =
  well_formed (fun () -> fields_within input limits (ref limits.head_bytes))

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

let first_line input limits left =
  let rec go () =
    match line input limits left `Request_uri_too_long with
    | 0 ->
        (* Empty lines before a request are to be ignored (RFC 9112 §2.2). *)
        Input.skip_line input 0;
        go ()
    | n -> n
  in
  let n = go () in
  let first = Input.index input ' ' 0 n in
  let second = Input.index input ' ' (first + 1) n in
  if second >= n || Input.index input ' ' (second + 1) n < n then bad ();
  let meth = Input.sub input 0 first in
  let target = Input.sub input (first + 1) (second - first - 1) in
  if not (Grammar.is_token meth && is_target target) then bad ();
  let version = version (Input.sub input (second + 1) (n - second - 1)) in
  Input.skip_line input n;
  (Status.meth meth, target, version)

let host headers version =
  match H.get_multi headers "host" with
  | [ host ] -> if not (Grammar.is_host host) then bad ()
  | [] when version = `HTTP_1_0 -> ()
  | _ -> bad ()

let request input (limits : Limits.t) : request =
  well_formed @@ fun () ->
  let left = ref limits.head_bytes in
  let meth, target, version = first_line input limits left in
  let headers = fields_within input limits left in
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
  { request; framing; persistent = is_persistent headers version; expects }

(* Responses *)

let status_line input limits left =
  let n = line input limits left `Bad_gateway in
  if n < 12 || Input.get input 8 <> ' ' || (n > 12 && Input.get input 12 <> ' ') then bad ();
  let version = version (Input.sub input 0 8) and status = Input.sub input 9 3 in
  if (not (Grammar.is_digits status)) || status < "100" || status > "599" then bad ();
  Input.skip_line input n;
  (version, int_of_string status)

let response input (limits : Limits.t) ~meth : response =
  well_formed @@ fun () ->
  let left = ref limits.head_bytes in
  let version, status = status_line input limits left in
  let headers = fields_within input limits left in
  let framing =
    if meth = `HEAD || status < 200 || status = 204 || status = 304 then Length 0
    else framing headers ~version ~otherwise:To_end
  in
  let persistent = framing <> To_end && is_persistent headers version in
  { status; version; headers; framing; persistent }

(* Writing *)

(* [string_of_int] is the C library's [printf]. *)
let rec write_number b n =
  if n > 9 then write_number b (n / 10);
  Buffer.add_char b (Char.unsafe_chr (Char.code '0' + (n mod 10)))

let write_own b name value =
  Buffer.add_string b name;
  Buffer.add_string b ": ";
  Buffer.add_string b value;
  Buffer.add_string b "\r\n"

let write_field b (name, value) =
  if not (Grammar.is_token name && Grammar.is_value value) then
    invalid_arg ("Soil_http: not a header field: " ^ String.escaped name);
  write_own b name value

let finish b = Buffer.add_string b "\r\n"

let write b fields =
  List.iter (write_field b) fields;
  finish b
