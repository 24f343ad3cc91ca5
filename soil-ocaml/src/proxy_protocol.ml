type client = {
  source : Net_endpoint.t;
  destination : Net_endpoint.t;
  fields : (int * string) list;
}

type header = Local | Unknown | Client of client
type version = V1 | V2
type decoded = Header of header * int | Need of int | Malformed of string

let max_bytes = 4096

(* Types of fields *)

let type_alpn = 0x01
let type_authority = 0x02
let type_checksum = 0x03
let type_padding = 0x04
let type_unique_id = 0x05
let type_ssl = 0x20

(* Version 1 *)

let v1_prefix = "PROXY "
let v1_least = String.length "PROXY UNKNOWN\r\n"
let v1_max = 107
let v1_address ~v6 s = if String.contains s ':' = v6 then Address.of_string_opt s else None

let v1_client ~v6 source destination source_port destination_port =
  let endpoint address p =
    match (v1_address ~v6 address, Address.decimal ~digits:5 ~largest:65535 p) with
    | Some address, Some port -> Some { Address.address; port }
    | _ -> None
  in
  match (endpoint source source_port, endpoint destination destination_port) with
  | Some source, Some destination -> Some (Client { source; destination; fields = [] })
  | _ -> None

let v1_header line =
  match String.split_on_char ' ' line with
  | "PROXY" :: "UNKNOWN" :: _ -> Some Unknown
  | [ "PROXY"; (("TCP4" | "TCP6") as family); source; destination; sp; dp ] ->
      v1_client ~v6:(family = "TCP6") source destination sp dp
  | _ -> None

let decode_v1 s =
  let length = String.length s in
  let rec go i =
    if i >= v1_max - 1 then Malformed "a line of more than 107 bytes"
    else if i >= length then Need (max v1_least (i + 2))
    else
      match s.[i] with
      | '\r' when i + 1 = length -> Need (max v1_least (i + 2))
      | '\r' when s.[i + 1] = '\n' -> (
          match v1_header (String.sub s 0 i) with
          | Some header -> Header (header, i + 2)
          | None -> Malformed ("not a line of version 1: " ^ String.escaped (String.sub s 0 i)))
      | '\r' | '\n' -> Malformed "CR or LF alone in a line"
      | _ -> go (i + 1)
  in
  go 0

(* Version 2 *)

let signature = "\r\n\r\n\000\r\nQUIT\n"
let fixed = 16
let byte s i = Char.code s.[i]

(* RFC 9260, appendix A; with zeros in place of the four bytes from [hole]. *)
let crc32c s length ~hole =
  let crc = ref 0xffff_ffff in
  for i = 0 to length - 1 do
    if i < hole || i >= hole + 4 then crc := !crc lxor byte s i;
    for _ = 1 to 8 do
      crc := (!crc lsr 1) lxor (0x82f6_3b78 land -(!crc land 1))
    done
  done;
  !crc lxor 0xffff_ffff

let uint32 s i = (String.get_uint16_be s i lsl 16) lor String.get_uint16_be s (i + 2)

exception Bad of string

(* The fields in bytes [i … last - 1], each by [take type offset length]. *)
let rec iter_fields s i last take =
  if i < last then (
    if i + 3 > last then raise_notrace (Bad "a field that is cut");
    let length = String.get_uint16_be s (i + 1) in
    if i + 3 + length > last then raise_notrace (Bad "a field that is cut");
    take (byte s i) (i + 3) length;
    iter_fields s (i + 3 + length) last take)

let fields s first last =
  let found = ref [] in
  let take kind at length =
    if kind = type_checksum then (
      if length <> 4 || crc32c s last ~hole:at <> uint32 s at then
        raise_notrace (Bad "a wrong checksum"))
    else if kind <> type_padding then found := (kind, String.sub s at length) :: !found
  in
  iter_fields s first last take;
  List.rev !found

let v2_client s last size =
  let ports = fixed + (2 * size) in
  if ports + 4 > last then raise_notrace (Bad "too short for its addresses");
  let endpoint i =
    let address = Address.of_octets (String.sub s (fixed + (i * size)) size) in
    { Address.address; port = String.get_uint16_be s (ports + (2 * i)) }
  in
  Client { source = endpoint 0; destination = endpoint 1; fields = fields s (ports + 4) last }

let v2_header s last =
  match (byte s 12, byte s 13) with
  | 0x20, _ -> Local
  | _, 0x11 -> v2_client s last 4
  | _, 0x21 -> v2_client s last 16
  | _, kind when kind lsr 4 <= 3 && kind land 15 <= 2 -> Unknown
  | _ -> raise_notrace (Bad "an unknown family or transport")

let decode_v2 s =
  let length = String.length s in
  if length > 12 && byte s 12 lsr 4 <> 2 then Malformed "neither version 1 nor 2"
  else if length > 12 && byte s 12 land 15 > 1 then Malformed "an unknown command"
  else if length < fixed then Need fixed
  else
    let last = fixed + String.get_uint16_be s 14 in
    if last > max_bytes then Malformed ("more than " ^ string_of_int max_bytes ^ " bytes")
    else if length < last then Need last
    else match v2_header s last with h -> Header (h, last) | exception Bad r -> Malformed r

let decode s =
  let agrees prefix =
    let n = min (String.length prefix) (String.length s) in
    String.sub prefix 0 n = String.sub s 0 n
  in
  if s = "" then Need v1_least
  else if agrees v1_prefix then decode_v1 s
  else if agrees signature then decode_v2 s
  else Malformed "no header"

(* Encoding *)

let v6_text a =
  let text = Address.to_string a in
  if Address.is_v4 a then "::ffff:" ^ text else text

let v6_octets a =
  let octets = Address.to_octets a in
  if Address.is_v4 a then String.make 10 '\000' ^ "\255\255" ^ octets else octets

let are_v4 c = Address.is_v4 c.source.address && Address.is_v4 c.destination.address

let encode_v1 = function
  | Local | Unknown -> "PROXY UNKNOWN\r\n"
  | Client c ->
      let family, text = if are_v4 c then ("TCP4", Address.to_string) else ("TCP6", v6_text) in
      let { Address.address = source; port = sp } = c.source
      and { Address.address = destination; port = dp } = c.destination in
      let ports = string_of_int sp ^ " " ^ string_of_int dp in
      String.concat " " [ "PROXY"; family; text source; text destination; ports ] ^ "\r\n"

let char n = String.make 1 (Char.chr n)
let uint16 n = char (n lsr 8) ^ char (n land 0xff)

let field (kind, value) =
  let length = String.length value in
  if kind < 0 || kind > 255 || kind = type_checksum || length > max_bytes then
    invalid_arg "Soil.Proxy_protocol.encode: not a field";
  char kind ^ uint16 length ^ value

let empty_checksum = char type_checksum ^ uint16 4 ^ String.make 4 '\000'

let encode_v2 checksum header =
  let command, kind, body =
    match header with
    | Local -> (0, 0, "")
    | Unknown -> (1, 0, "")
    | Client { source; destination; fields } as header ->
        let kind, octets =
          match header with
          | Client c when are_v4 c -> (0x11, Address.to_octets)
          | _ -> (0x21, v6_octets)
        in
        let addresses = octets source.address ^ octets destination.address in
        let ports = uint16 source.port ^ uint16 destination.port in
        (1, kind, String.concat "" (addresses :: ports :: List.map field fields))
  in
  let body = if checksum then body ^ empty_checksum else body in
  let length = String.length body in
  if fixed + length > max_bytes then invalid_arg "Soil.Proxy_protocol.encode: more than 4096 bytes";
  let text = signature ^ char (0x20 lor command) ^ char kind ^ uint16 length ^ body in
  if checksum then
    let rest = fixed + length - 4 in
    let crc = crc32c text (fixed + length) ~hole:rest in
    String.sub text 0 rest ^ uint16 (crc lsr 16) ^ uint16 (crc land 0xffff)
  else text

let encode ?(version = V2) ?(checksum = false) header =
  match version with V1 -> encode_v1 header | V2 -> encode_v2 checksum header

let send ?version ?checksum d header =
  File_descriptor.write_string d (encode ?version ?checksum header)

(* Receiving *)

let refuse d code detail =
  let e =
    Error.Error { code; operation = "proxy protocol"; subject = File_descriptor.name d; detail }
  in
  Private.peer_failed d e;
  Soil_backtrace.raise e

let read_header d =
  let read : Descriptor.t = Typed.any d in
  let bytes = ref (Bytes.create fixed) and got = ref 0 in
  let rec go () =
    match decode (Bytes.sub_string !bytes 0 !got) with
    | Header (header, _) -> header
    | Malformed reason -> refuse d Corrupt reason
    | Need length ->
        if length > Bytes.length !bytes then (
          let larger = Bytes.create length in
          Bytes.blit !bytes 0 larger 0 !got;
          bytes := larger);
        let n = File_descriptor.read d !bytes !got (length - !got) in
        if n = 0 then refuse d Corrupt "the connection ended before the end of the header";
        got := !got + n;
        go ()
  in
  Failure.undoing (fun () -> read.io.unread read !bytes 0 !got) go

let receive ?(timeout = 5.) d =
  match Task.timeout_opt timeout (fun () -> read_header d) with
  | Some header -> header
  | None -> refuse d Timed_out ("no header within " ^ Text.number timeout ^ " s")

let accept ?timeout ~trusted c =
  let { Address.address; _ } = Tcp.peer c in
  if List.exists (Net_prefix.mem address) trusted then Some (receive ?timeout c) else None

let client ?timeout ~trusted c =
  match accept ?timeout ~trusted c with
  | Some (Client { source; _ }) -> source
  | Some (Local | Unknown) | None -> Tcp.peer c

(* Fields *)

let find kind c = Stdlib.List.assoc_opt kind c.fields
let authority = find type_authority
let alpn = find type_alpn
let unique_id = find type_unique_id

type ssl = {
  verified : bool;
  version : string option;
  cipher : string option;
  common_name : string option;
}

let over_ssl = 0x01
let certificate_shown = 0x06

let ssl_of s =
  if String.length s < 5 || byte s 0 land over_ssl = 0 then None
  else
    let found = ref [] in
    match
      iter_fields s 5 (String.length s) (fun kind at length ->
          found := (kind, String.sub s at length) :: !found)
    with
    | exception Bad _ -> None
    | () ->
        let part kind = Stdlib.List.assoc_opt kind !found in
        let verified = byte s 0 land certificate_shown <> 0 && uint32 s 1 = 0 in
        Some { verified; version = part 0x21; cipher = part 0x23; common_name = part 0x22 }

let ssl c = match find type_ssl c with Some s -> ssl_of s | None -> None
