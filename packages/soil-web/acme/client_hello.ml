type t = { server_name : string option; protocols : string list }

let max_bytes = 4096
let record = 5
let handshake_type = '\022'
let length s = String.get_uint16_be s 3

(* The number of bytes wanted, as far as it is known from [n] bytes. *)
let wanted b n =
  if n = 0 then 1
  else if Bytes.get b 0 <> handshake_type then 0
  else if n < record then record
  else
    let all = record + Bytes.get_uint16_be b 3 in
    if all > max_bytes then 0 else all

let receive d =
  let b = Bytes.create max_bytes in
  let rec go n =
    if n >= wanted b n then Bytes.sub_string b 0 n
    else
      match Soil.File_descriptor.read d b n (max_bytes - n) with
      | 0 -> Bytes.sub_string b 0 n
      | more -> go (n + more)
  in
  go 0

(* A vector behind its length of [width] bytes, and the rest. Raises [Invalid_argument] as
   [String.sub] does. *)
let vector width s =
  let n = if width = 1 then String.get_uint8 s 0 else String.get_uint16_be s 0 in
  (String.sub s width n, String.sub s (width + n) (String.length s - width - n))

let rec vectors width s =
  if s = "" then []
  else
    let v, rest = vector width s in
    v :: vectors width rest

let rec extensions s =
  if s = "" then []
  else
    let number = String.get_uint16_be s 0 in
    let contents, rest = vector 2 (String.sub s 2 (String.length s - 2)) in
    (number, contents) :: extensions rest

(* Of type host_name (RFC 6066 §3). *)
let server_name contents =
  let names, _ = vector 2 contents in
  if names.[0] = '\000' then fst (vector 2 (String.sub names 1 (String.length names - 1)))
  else invalid_arg "server_name"

let parse_hello s =
  (* After the version and the random bytes. *)
  let s = String.sub s 34 (String.length s - 34) in
  let _session, s = vector 1 s in
  let _suites, s = vector 2 s in
  let _compression, s = vector 1 s in
  let extensions = extensions (fst (vector 2 s)) in
  let protocols contents = vectors 1 (fst (vector 2 contents)) in
  {
    server_name = Option.map server_name (List.assoc_opt 0 extensions);
    protocols = Option.fold ~none:[] ~some:protocols (List.assoc_opt 16 extensions);
  }

let parse s =
  match
    let body = String.sub s record (length s) in
    let n = (String.get_uint8 body 1 lsl 16) lor String.get_uint16_be body 2 in
    if s.[0] <> handshake_type || body.[0] <> '\001' then None
    else Some (parse_hello (String.sub body 4 n))
  with
  | hello -> hello
  | exception Invalid_argument _ -> None
