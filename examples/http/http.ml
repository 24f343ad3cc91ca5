module D = Soil.File_descriptor

exception Refused of Cohttp.Code.status_code

let idle_seconds = 30. (* between requests *)
let head_seconds = 10. (* for the head of a request, from its first byte *)
let write_seconds = 30. (* for a piece of the response to be taken *)
let head_bytes = 16384
let line_bytes = 8192

type connection = { descriptor : D.flow; reader : Soil.Reader.t }

let connection flow = { descriptor = (flow :> D.flow); reader = Soil.Reader.create flow }

(* One request head, the source that Cohttp reads from. Cohttp accepts a header line without a
   colon, so this module checks each line. *)
type head = { source : Soil.Reader.t; mutable left : int; mutable in_headers : bool }

let check_header line =
  match String.index_opt line ':' with
  | Some i when i > 0 && not (String.exists (fun c -> c = ' ' || c = '\t') (String.sub line 0 i)) ->
      ()
  | Some _ | None -> raise (Refused `Bad_request)

let next_line head =
  let too_large =
    if head.in_headers then `Request_header_fields_too_large else `Request_uri_too_long
  in
  match Soil.Reader.line ~max:(min line_bytes head.left) head.source with
  | line ->
      head.left <- head.left - String.length line - 2;
      if head.left <= 0 then raise (Refused too_large);
      line
  | exception Soil.Error { code = Too_large; _ } -> raise (Refused too_large)
  | exception End_of_file -> raise (Refused `Bad_request)

let rec read_line head =
  let line = next_line head in
  (* Empty lines before a request are to be ignored (RFC 9112 §2.2). *)
  if line = "" && not head.in_headers then read_line head
  else (
    if head.in_headers && line <> "" then check_header line;
    head.in_headers <- true;
    Some line)

module IO = struct
  type 'a t = 'a
  type ic = head
  type oc = Buffer.t
  type conn = connection

  let ( >>= ) v f = f v
  let return v = v
  let read_line = read_line
  let read _ _ = "" (* bodies aren't read by way of Cohttp *)
  let write = Buffer.add_string
  let flush _ = ()
end

module Request_io = Cohttp.Request.Make (IO)
module Response_io = Cohttp.Response.Make (IO)

let check_host (request : Cohttp.Request.t) =
  match Cohttp.Header.get_multi request.headers "host" with
  | [ _ ] -> ()
  | [] when request.version = `HTTP_1_0 -> ()
  | _ -> raise (Refused `Bad_request)

(* Two opinions on where a body ends are how requests are smuggled (RFC 9112 §6.3). *)
let check_length (request : Cohttp.Request.t) =
  let is_digit c = c >= '0' && c <= '9' in
  match
    ( Cohttp.Header.get_multi request.headers "content-length",
      Cohttp.Header.mem request.headers "transfer-encoding" )
  with
  | [], _ -> ()
  | [ length ], false when length <> "" && String.for_all is_digit length -> ()
  | _ -> raise (Refused `Bad_request)

let read_head c =
  let head = { source = c.reader; left = head_bytes; in_headers = false } in
  match Request_io.read head with
  | `Ok request ->
      if request.meth = `Other "" then raise (Refused `Bad_request);
      check_host request;
      check_length request;
      request
  | `Eof | `Invalid _ | (exception (Failure _ | Invalid_argument _ | Not_found)) ->
      raise (Refused `Bad_request)

let request c =
  match Soil.Task.timeout_opt idle_seconds (fun () -> Soil.Reader.peek c.reader) with
  | None | Some None -> None
  | Some (Some _) -> (
      match Soil.Task.timeout_opt head_seconds (fun () -> read_head c) with
      | Some request -> Some request
      | None -> raise (Refused `Request_timeout))

let has_body (request : Cohttp.Request.t) =
  match Cohttp.Header.get_transfer_encoding request.headers with
  | Fixed 0L -> false
  | Fixed _ | Chunked -> true
  | Unknown -> false

let respond c response text =
  let head = Buffer.create 512 in
  Response_io.write_header response head;
  Soil.Task.timeout write_seconds (fun () -> D.writev c.descriptor [ Buffer.contents head; text ])

let send c buffer n =
  Soil.Task.timeout write_seconds (fun () -> D.write_from c.descriptor buffer 0 n)

let linger_seconds = 2.
let linger_bytes = 1 lsl 20

let finish c =
  D.shutdown c.descriptor `Send;
  let unread = Bytes.create 4096 in
  let rec discard left =
    if left > 0 then
      match D.read c.descriptor unread 0 (Bytes.length unread) with
      | 0 -> ()
      | n -> discard (left - n)
  in
  ignore (Soil.Task.timeout_opt linger_seconds (fun () -> discard linger_bytes))
