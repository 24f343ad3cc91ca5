module H = Cohttp.Header
module Sha256 = Soil.Sha256

type credentials = { access_key : string; secret_key : string; token : string option }
type signer = { service : string; region : string; credentials : credentials }

let is_word s = s <> "" && String.for_all (fun c -> c > ' ' && c < '\127') s

let signer ?(service = "s3") ~region credentials =
  let is_name s = is_word s && not (String.contains s '/') in
  if not (is_name service && is_name region) then
    invalid_arg "Soil_s3.signer: not a name of a service or a region";
  let { access_key; secret_key; token } = credentials in
  if not (is_word access_key && is_word secret_key && Option.fold ~none:true ~some:is_word token)
  then invalid_arg "Soil_s3.signer: a key is empty or not printable";
  { service; region; credentials }

let is_s3 t = t.service = "s3"

(* Canonical forms *)

let is_unreserved = function
  | 'A' .. 'Z' | 'a' .. 'z' | '0' .. '9' | '-' | '.' | '_' | '~' -> true
  | _ -> false

let encode_except keep s =
  let b = Buffer.create (String.length s + 16) in
  let add c =
    if is_unreserved c || keep c then Buffer.add_char b c
    else Printf.bprintf b "%%%02X" (Char.code c)
  in
  String.iter add s;
  Buffer.contents b

let encode = encode_except (fun _ -> false)
let encode_path = encode_except (fun c -> c = '/')

let uri ?(scheme = "https") ?port ?bucket ~host key =
  let path = match bucket with None -> "/" ^ key | Some bucket -> "/" ^ bucket ^ "/" ^ key in
  Uri.make ~scheme ~host ?port ~path:(encode_path path) ()

(* [Uri] reads %2B in a path as +, which S3 takes for a space. *)
let with_plus path = String.concat "%2B" (String.split_on_char '+' path)

let to_string uri =
  let s = Uri.to_string uri in
  let n = Option.value (String.index_opt s '?') ~default:(String.length s) in
  with_plus (String.sub s 0 n) ^ String.sub s n (String.length s - n)

(* What the client sends: the path, and the query after it. *)
let target uri =
  let s = Uri.path_and_query uri in
  match String.index_opt s '?' with
  | None -> (with_plus s, "")
  | Some i -> (with_plus (String.sub s 0 i), String.sub s (i + 1) (String.length s - i - 1))

(* RFC 3986 §6.2.2.3, and empty segments. *)
let normalized path =
  let add above = function
    | "" | "." -> above
    | ".." -> ( match above with [] -> [] | _ :: rest -> rest)
    | segment -> segment :: above
  in
  let segments = List.rev (List.fold_left add [] (String.split_on_char '/' path)) in
  let is_folder = String.ends_with ~suffix:"/" path && segments <> [] in
  "/" ^ String.concat "/" segments ^ if is_folder then "/" else ""

(* S3 signs the name of an object, others the path as it is sent, with its escapes escaped. *)
let canonical_path t path =
  if is_s3 t then encode_path (Uri.pct_decode (if path = "" then "/" else path))
  else encode_path (normalized path)

let parameter s =
  match String.index_opt s '=' with
  | None -> (Uri.pct_decode s, "")
  | Some i ->
      let value = String.sub s (i + 1) (String.length s - i - 1) in
      (Uri.pct_decode (String.sub s 0 i), Uri.pct_decode value)

let parameters query =
  if query = "" then [] else List.map parameter (String.split_on_char '&' query)

let canonical_query l =
  let encoded = List.map (fun (name, value) -> (encode name, encode value)) l in
  let sorted = List.sort compare encoded in
  String.concat "&" (List.map (fun (name, value) -> name ^ "=" ^ value) sorted)

(* Written by the client, or changed by proxies. *)
let unsigned =
  [
    "authorization";
    "connection";
    "content-length";
    "expect";
    "keep-alive";
    "te";
    "trailer";
    "transfer-encoding";
    "upgrade";
    "user-agent";
    "x-amzn-trace-id";
  ]

let trimmed value =
  String.split_on_char ' ' (String.trim value)
  |> List.filter (fun word -> word <> "")
  |> String.concat " "

(* Each name once, sorted, in lowercase, with its values in their order. *)
let canonical_headers host headers =
  let fields = List.map (fun (name, v) -> (String.lowercase_ascii name, v)) (H.to_list headers) in
  let fields =
    List.filter (fun (name, _) -> name <> "host" && not (List.mem name unsigned)) fields
  in
  let fields = ("host", host) :: fields in
  let names = List.sort_uniq String.compare (List.map fst fields) in
  let values name =
    List.filter_map (fun (n, v) -> if n = name then Some (trimmed v) else None) fields
  in
  List.map (fun name -> (name, String.concat "," (values name))) names

let default_port = function Some "http" -> Some 80 | Some "https" -> Some 443 | _ -> None

let host_of uri =
  match Uri.host uri with
  | None | Some "" -> invalid_arg "Soil_s3: the URI has no host"
  | Some host -> (
      match Uri.port uri with
      | Some port when Some port <> default_port (Uri.scheme uri) ->
          Printf.sprintf "%s:%d" host port
      | Some _ | None -> host)

(* Signatures *)

let hex s =
  String.concat ""
    (List.map (fun c -> Printf.sprintf "%02x" (Char.code c)) (List.of_seq (String.to_seq s)))

let algorithm = "AWS4-HMAC-SHA256"
let max_time = 253402300799.

let time now =
  if not (now >= 0. && now <= max_time) then invalid_arg "Soil_s3: the time is out of range";
  let seconds = int_of_float now in
  let y, m, d = Soil.Private.date (seconds / 86400) in
  let rest = seconds mod 86400 in
  Printf.sprintf "%04d%02d%02dT%02d%02d%02dZ" y m d (rest / 3600) (rest / 60 mod 60) (rest mod 60)

let scope_of t time = String.concat "/" [ String.sub time 0 8; t.region; t.service; "aws4_request" ]

let signing_key t time =
  let derive key s = Sha256.hmac ~key s in
  let date = derive ("AWS4" ^ t.credentials.secret_key) (String.sub time 0 8) in
  derive (derive (derive date t.region) t.service) "aws4_request"

let method_name = Cohttp.Code.string_of_method

let signature t time meth path query fields payload =
  let names = String.concat ";" (List.map fst fields) in
  let lines = List.map (fun (name, value) -> name ^ ":" ^ value ^ "\n") fields in
  let request =
    String.concat "\n"
      [
        method_name meth;
        canonical_path t path;
        canonical_query query;
        String.concat "" lines;
        names;
        payload;
      ]
  in
  let text = String.concat "\n" [ algorithm; time; scope_of t time; hex (Sha256.digest request) ] in
  hex (Sha256.hmac ~key:(signing_key t time) text)

type payload = Body of string | Sha256 of string | Unsigned | Chunks of int

let streaming = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"

let payload_text t = function
  | Body s -> hex (Sha256.digest s)
  | Sha256 digest when String.length digest = 32 -> hex digest
  | Sha256 _ -> invalid_arg "Soil_s3: a SHA-256 hasn't 32 bytes"
  | (Unsigned | Chunks _) when not (is_s3 t) ->
      invalid_arg "Soil_s3: only S3 has unsigned bodies and chunks"
  | Unsigned -> "UNSIGNED-PAYLOAD"
  | Chunks n when n < 0 -> invalid_arg "Soil_s3: a negative length"
  | Chunks _ -> streaming

let add_coding headers =
  let codings = H.get_multi headers "content-encoding" in
  H.replace headers "content-encoding" (String.concat "," ("aws-chunked" :: codings))

let about_payload t payload text headers =
  let headers = if is_s3 t then H.replace headers "x-amz-content-sha256" text else headers in
  match payload with
  | Chunks n -> H.replace (add_coding headers) "x-amz-decoded-content-length" (string_of_int n)
  | Body _ | Sha256 _ | Unsigned -> headers

let time_now now = time (match now with Some now -> now | None -> Soil.Clock.now ())

let sign ?now ?(headers = H.init ()) ?(payload = Body "") t meth uri =
  let time = time_now now in
  let text = payload_text t payload in
  let headers = about_payload t payload text (H.replace headers "x-amz-date" time) in
  let headers =
    match t.credentials.token with
    | Some token -> H.replace headers "x-amz-security-token" token
    | None -> headers
  in
  let fields = canonical_headers (host_of uri) headers in
  let path, query = target uri in
  let signature = signature t time meth path (parameters query) fields text in
  let authorization =
    Printf.sprintf "%s Credential=%s/%s, SignedHeaders=%s, Signature=%s" algorithm
      t.credentials.access_key (scope_of t time)
      (String.concat ";" (List.map fst fields))
      signature
  in
  H.replace headers "authorization" authorization

let presign ?now ?(headers = H.init ()) ?payload ~expires t meth uri =
  if expires < 1 || expires > 604_800 then
    invalid_arg "Soil_s3.presign: expires isn't between 1 and 604800 seconds";
  let time = time_now now in
  let default = if is_s3 t then Unsigned else Body "" in
  let payload = Option.value payload ~default in
  let text =
    match payload with
    | Chunks _ -> invalid_arg "Soil_s3.presign: a URL can't sign chunks"
    | payload -> payload_text t payload
  in
  let fields = canonical_headers (host_of uri) headers in
  let path, query = target uri in
  let query = parameters query in
  if List.mem_assoc "X-Amz-Signature" query then
    invalid_arg "Soil_s3.presign: the URI has a signature";
  let token =
    Option.to_list (Option.map (fun s -> ("X-Amz-Security-Token", s)) t.credentials.token)
  in
  let own =
    [
      ("X-Amz-Algorithm", algorithm);
      ("X-Amz-Credential", t.credentials.access_key ^ "/" ^ scope_of t time);
      ("X-Amz-Date", time);
      ("X-Amz-Expires", string_of_int expires);
      ("X-Amz-SignedHeaders", String.concat ";" (List.map fst fields));
    ]
    @ token
  in
  let query = query @ own in
  let signature = signature t time meth path query fields text in
  Uri.with_query' uri (query @ [ ("X-Amz-Signature", signature) ])

(* Chunks: each signature covers the one before. *)

type chunks = {
  signer : signer;
  time : string;
  key : string;
  chunk : int;
  total : int;
  buffer : Buffer.t;
  mutable taken : int;
  mutable last : string; (* The signature before. *)
}

let min_chunk = 8192

let chunks ?(chunk = 65536) signer headers =
  if chunk < min_chunk then invalid_arg "Soil_s3.chunks: a chunk has less than 8192 bytes";
  let after s prefix =
    let n = String.length prefix in
    let i = String.length s - 64 in
    if i >= n && String.sub s (i - n) n = prefix then Some (String.sub s i 64) else None
  in
  let seed = Option.bind (H.get headers "authorization") (fun s -> after s "Signature=") in
  let total = Option.bind (H.get headers "x-amz-decoded-content-length") int_of_string_opt in
  match (H.get headers "x-amz-content-sha256", H.get headers "x-amz-date", seed, total) with
  | Some kind, Some time, Some last, Some total when kind = streaming ->
      let key = signing_key signer time in
      { signer; time; key; chunk; total; buffer = Buffer.create chunk; taken = 0; last }
  | _ -> invalid_arg "Soil_s3.chunks: the headers aren't those for chunks"

let line length signature = Printf.sprintf "%x;chunk-signature=%s\r\n" length signature

let length c =
  let encoded n = String.length (line n (String.make 64 '0')) + n + 2 in
  let rest = c.total mod c.chunk in
  (c.total / c.chunk * encoded c.chunk) + (if rest > 0 then encoded rest else 0) + encoded 0

let encoded c data =
  let text =
    String.concat "\n"
      [
        "AWS4-HMAC-SHA256-PAYLOAD";
        c.time;
        scope_of c.signer c.time;
        c.last;
        hex (Sha256.digest "");
        hex (Sha256.digest data);
      ]
  in
  c.last <- hex (Sha256.hmac ~key:c.key text);
  line (String.length data) c.last ^ data ^ "\r\n"

let flush c send =
  let data = Buffer.contents c.buffer in
  Buffer.clear c.buffer;
  send (encoded c data)

let write c s send =
  if String.length s > c.total - c.taken then
    invalid_arg "Soil_s3.write: more bytes than the length that was signed";
  c.taken <- c.taken + String.length s;
  let rec add from =
    let n = min (c.chunk - Buffer.length c.buffer) (String.length s - from) in
    Buffer.add_substring c.buffer s from n;
    if Buffer.length c.buffer = c.chunk then flush c send;
    if from + n < String.length s then add (from + n)
  in
  add 0;
  if c.taken = c.total then (
    if Buffer.length c.buffer > 0 then flush c send;
    send (encoded c ""))
