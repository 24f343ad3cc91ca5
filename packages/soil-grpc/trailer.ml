module H = Cohttp.Header

(* google.rpc.Status and google.protobuf.Any. *)

let encode_details (s : Status.t) =
  Wire.encode @@ fun b ->
  Wire.int b 1 (Status.number s.code);
  Wire.string b 2 s.message;
  List.iter
    (fun (url, value) ->
      Wire.message b 3
        (Wire.encode (fun b ->
             Wire.string b 1 url;
             Wire.string b 2 value)))
    s.details

let decode_any s =
  let field (url, value) number v =
    match (number, v) with
    | 1, Wire.Bytes s -> (s, value)
    | 2, Wire.Bytes s -> (url, s)
    | _ -> (url, value)
  in
  Wire.decode ("", "") field s

let decode_details s =
  let field found number v =
    match (number, v) with
    | 3, Wire.Bytes any -> ( match decode_any any with Ok d -> d :: found | Error _ -> found)
    | _ -> found
  in
  match Wire.decode [] field s with Ok found -> List.rev found | Error _ -> []

let details_field = "grpc-status-details-bin"

let to_fields (s : Status.t) =
  [ ("grpc-status", string_of_int (Status.number s.code)) ]
  @ (if s.message = "" then [] else [ ("grpc-message", Binary.percent s.message) ])
  @ if s.details = [] then [] else [ (details_field, Binary.encode (encode_details s)) ]

let of_header h =
  let code text =
    Option.fold ~none:Status.Unknown ~some:Status.of_number (int_of_string_opt text)
  in
  let status text =
    let message = Option.fold ~none:"" ~some:Binary.of_percent (H.get h "grpc-message") in
    let details = Option.bind (H.get h details_field) Binary.decode in
    let details = Option.fold ~none:[] ~some:decode_details details in
    Status.v ~details (code (String.trim text)) message
  in
  Option.map status (H.get h "grpc-status")

let of_http n =
  let code : Status.code =
    match n with
    | 400 -> Internal
    | 401 -> Unauthenticated
    | 403 -> Permission_denied
    | 404 -> Unimplemented
    | 429 | 502 | 503 | 504 -> Unavailable
    | _ -> Unknown
  in
  Status.v code (Printf.sprintf "HTTP status %d" n)

(* The units, in nanoseconds. *)
let units = [ ('n', 1.); ('u', 1e3); ('m', 1e6); ('S', 1e9); ('M', 60e9); ('H', 3600e9) ]
let max_count = 99_999_999.

let timeout seconds =
  let ns = Float.max 0. (seconds *. 1e9) in
  let count unit = Float.ceil (ns /. unit) in
  match List.find_opt (fun (_, unit) -> count unit <= max_count) units with
  | Some (letter, unit) -> Printf.sprintf "%.0f%c" (count unit) letter
  | None -> Printf.sprintf "%.0fH" max_count

let of_timeout s =
  let n = String.length s - 1 in
  if n < 1 || n > 8 then None
  else
    let digits = String.sub s 0 n in
    if not (String.for_all (fun c -> c >= '0' && c <= '9') digits) then None
    else Option.map (fun unit -> float_of_string digits *. unit /. 1e9) (List.assoc_opt s.[n] units)
