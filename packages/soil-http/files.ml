module D = Soil.File_descriptor
module H = Cohttp.Header

let extension path =
  match String.rindex_opt path '.' with
  | Some i -> String.lowercase_ascii (String.sub path i (String.length path - i))
  | None -> ""

let content_type path =
  match extension path with
  | ".html" | ".htm" -> "text/html; charset=utf-8"
  | ".css" -> "text/css; charset=utf-8"
  | ".js" | ".mjs" -> "text/javascript; charset=utf-8"
  | ".txt" | ".md" -> "text/plain; charset=utf-8"
  | ".csv" -> "text/csv; charset=utf-8"
  | ".xml" -> "application/xml"
  | ".json" | ".map" -> "application/json"
  | ".svg" -> "image/svg+xml"
  | ".png" -> "image/png"
  | ".jpg" | ".jpeg" -> "image/jpeg"
  | ".gif" -> "image/gif"
  | ".webp" -> "image/webp"
  | ".avif" -> "image/avif"
  | ".ico" -> "image/x-icon"
  | ".pdf" -> "application/pdf"
  | ".wasm" -> "application/wasm"
  | ".woff2" -> "font/woff2"
  | ".mp3" -> "audio/mpeg"
  | ".mp4" -> "video/mp4"
  | ".webm" -> "video/webm"
  | ".gz" -> "application/gzip"
  | ".zip" -> "application/zip"
  | _ -> "application/octet-stream"

(* The types of which a compressed sibling may be there. *)
let is_compressible content_type =
  String.starts_with ~prefix:"text/" content_type
  || List.mem content_type
       [ "application/json"; "application/xml"; "application/wasm"; "image/svg+xml" ]

(* Sending *)

exception Shorter of string

let small = 16384 (* up to here, a file goes in one piece with the head of the response *)
let piece = 65536

let rec send_copied output file path position left =
  if left > 0 then (
    let b = Bigarray.Array1.create Char C_layout (min left piece) in
    let n = Soil.Fs.pread_into file ~position b 0 (Bigarray.Array1.dim b) in
    if n = 0 then Soil_backtrace.raise (Shorter path);
    Output.buffer output b 0 n;
    send_copied output file path (position + n) (left - n))

(* Exactly the bytes that were promised, or the connection breaks off. *)
let send_lent output file path position length =
  let at = ref position and sending = ref false in
  let last = position + length in
  let send b =
    let n = Bigarray.Array1.dim b in
    sending := true;
    Output.buffer output b 0 n;
    sending := false;
    at := !at + n
  in
  match Soil.In_place.iter ~position ~len:length file send with
  | () -> if !at < last then Soil_backtrace.raise (Shorter path)
  | exception Soil.Error { code = Out_of_memory; _ } when not !sending ->
      (* Too much is lent at the moment, such as to clients that read slowly. *)
      send_copied output file path !at (last - !at)

(* What a body is made of: each [text] with [length] bytes of the contents, from [position] on,
   behind it; and the text at the end. *)
type part = { text : string; position : int; length : int }
type parts = { parts : part list; last : string }

let length_of { parts; last } =
  let add n part = n + String.length part.text + part.length in
  List.fold_left add (String.length last) parts

(* [fill b off part] stores the contents of [part], [send part] sends them. *)
let send_parts body ~fill ~send output ~head =
  let length = length_of body in
  if length <= small then (
    let b = Bytes.create length in
    let put at text =
      Bytes.blit_string text 0 b at (String.length text);
      at + String.length text
    in
    let put_part at part =
      let at = put at part.text in
      fill b at part;
      at + part.length
    in
    ignore (put (List.fold_left put_part 0 body.parts) body.last);
    Output.string output ~head (Bytes.unsafe_to_string b))
  else
    let say text = if text <> "" then Output.strings output [ text ] in
    say head;
    let send_part part =
      say part.text;
      send part
    in
    List.iter send_part body.parts;
    say body.last

let send_file path body output ~head =
  Soil.Fs.with_file path @@ fun file ->
  let fill b off { position; length; _ } =
    if Soil.Fs.pread file ~position b off length < length then Soil_backtrace.raise (Shorter path)
  in
  let send { position; length; _ } = send_lent output file path position length in
  send_parts body ~fill ~send output ~head

(* The same, through a flow of the program. *)
let write_parts body ~send sink =
  let say text = if text <> "" then D.write_string sink text in
  let write part =
    say part.text;
    send part
  in
  List.iter write body.parts;
  say body.last

let write_file path body sink =
  Soil.Fs.with_file path @@ fun file ->
  let b = Bigarray.Array1.create Char C_layout piece in
  let rec copy position left =
    if left > 0 then (
      let n = Soil.Fs.pread_into file ~position b 0 (min left piece) in
      if n = 0 then Soil_backtrace.raise (Shorter path);
      D.write_from sink b 0 n;
      copy (position + n) (left - n))
  in
  write_parts body sink ~send:(fun { position; length; _ } -> copy position length)

let write_embedded contents body sink =
  write_parts body sink ~send:(fun { position; length; _ } ->
      D.write_from sink contents position length)

let send_embedded contents body output ~head =
  let fill b off { position; length; _ } =
    for i = 0 to length - 1 do
      Bytes.set b (off + i) (Bigarray.Array1.get contents (position + i))
    done
  in
  let send { position; length; _ } = Output.buffer output contents position length in
  send_parts body ~fill ~send output ~head

let whole_of position length = { parts = [ { text = ""; position; length } ]; last = "" }

(* Tags *)

(* FNV-1a of 62 bits. *)
let hash (contents : D.buffer) =
  let h = ref 0x4bf29ce484222325 in
  for i = 0 to Bigarray.Array1.dim contents - 1 do
    h := !h lxor Char.code (Bigarray.Array1.unsafe_get contents i) * 0x100000001b3
  done;
  !h land max_int

module Paths = Map.Make (String)

(* Of embedded files, which never change: there are as many as the program has. For all domains. *)
let hashes : int Paths.t Atomic.t = Atomic.make Paths.empty

let rec add path h =
  let before = Atomic.get hashes in
  if not (Atomic.compare_and_set hashes before (Paths.add path h before)) then add path h

let hash_of path contents =
  match Paths.find_opt path (Atomic.get hashes) with
  | Some h -> h
  | None ->
      let h = hash contents in
      add path h;
      h

(* RFC 9110 §14.6. *)
let multipart ranges ~boundary ~content_type ~size =
  let part first (position, length) =
    let text =
      Printf.sprintf "%s--%s\r\ncontent-type: %s\r\ncontent-range: bytes %d-%d/%d\r\n\r\n"
        (if first then "" else "\r\n")
        boundary content_type position
        (position + length - 1)
        size
    in
    { text; position; length }
  in
  let parts = List.mapi (fun i range -> part (i = 0) range) ranges in
  { parts; last = "\r\n--" ^ boundary ^ "--\r\n" }

(* What no file contains but by chance: files don't know the moment at which they are sent. *)
let boundary tag =
  Printf.sprintf "%016x%016x" (Hashtbl.hash tag) (Soil.Clock.monotonic_ns () land max_int)

let timestamp_step = 3. (* FAT notes times in steps of 2 s *)

let is_recent (stat : Soil.Fs.stat) =
  abs_float (Soil.Clock.now () -. stat.modified) < timestamp_step

let microseconds t = int_of_float (t *. 1e6)

let validators path (stat : Soil.Fs.stat) embedded =
  match embedded with
  | Some contents ->
      { Validators.tag = Printf.sprintf "\"%x\"" (hash_of path contents); modified = None }
  | None ->
      let weak = if is_recent stat then "W/" else "" in
      {
        tag = Printf.sprintf "%s\"%x-%x\"" weak stat.size (microseconds stat.modified);
        modified = Some stat.modified;
      }

(* Responses *)

let respond request path (stat : Soil.Fs.stat) headers =
  (* Files without a time are embedded ones, or as good as that. *)
  let embedded = if stat.modified = 0. then Soil.Fs.contents path else None in
  let v = validators path stat embedded in
  let size = stat.size in
  let headers = H.add headers "etag" v.tag in
  let headers =
    match v.modified with
    | Some t -> H.add headers "last-modified" (Date.to_string t)
    | None -> headers
  in
  let answer status headers body =
    let send, write =
      match embedded with
      | Some contents -> (send_embedded contents body, write_embedded contents body)
      | None -> (send_file path body, write_file path body)
    in
    { Response.status; headers; body = Direct { length = length_of body; send; write } }
  in
  let content_range range = H.add headers "content-range" ("bytes " ^ range) in
  match Validators.judge (Server.head request) v ~size with
  | Whole -> answer `OK (H.add headers "accept-ranges" "bytes") (whole_of 0 size)
  | Parts [ (position, length) ] ->
      let range = Printf.sprintf "%d-%d/%d" position (position + length - 1) size in
      answer `Partial_content (content_range range) (whole_of position length)
  | Parts ranges ->
      let content_type = Option.value (H.get headers "content-type") ~default:"" in
      let boundary = boundary v.tag in
      let headers =
        H.replace headers "content-type" ("multipart/byteranges; boundary=" ^ boundary)
      in
      answer `Partial_content headers (multipart ranges ~boundary ~content_type ~size)
  | Unsatisfiable ->
      let headers = content_range ("*/" ^ string_of_int size) in
      let headers = H.remove headers "content-type" in
      Server.error request ~headers `Requested_range_not_satisfiable
  | Not_modified -> Server.status ~headers `Not_modified
  | Failed -> Server.error request `Precondition_failed

let sibling path =
  match Soil.Fs.stat (path ^ ".gz") with
  | { kind = File; _ } as stat -> Some (path ^ ".gz", stat)
  | _ -> None
  | exception Soil.Error { code = Not_found | Name_too_long | Invalid_name; _ } -> None

let respond_to request path stat ?(headers = H.init ()) ?content_type:given ~gzip () =
  let content_type = match given with Some t -> t | None -> content_type path in
  let headers = H.add headers "content-type" content_type in
  if not (gzip && is_compressible content_type) then respond request path stat headers
  else
    let headers = H.add headers "vary" "accept-encoding" in
    let weight = Grammar.weight (Server.head request).headers "accept-encoding" "gzip" in
    match if weight > 0. then sibling path else None with
    | None -> respond request path stat headers
    | Some (path, stat) -> respond request path stat (H.add headers "content-encoding" "gzip")

let file ?headers ?content_type ?(gzip = true) request path =
  respond_to request path (Soil.Fs.stat path) ?headers ?content_type ~gzip ()

(* Paths *)

(* The decoded names of a path. A name that isn't one (a slash in disguise, the way up, control
   characters) is malformed. *)
let names path =
  let is_name s =
    s <> "." && s <> ".."
    && String.for_all (fun c -> c >= ' ' && c <> '/' && c <> '\\' && c <> '\127') s
  in
  let names = List.map Uri.pct_decode (String.split_on_char '/' path) in
  if List.for_all is_name names then Some names else None

(* Versions *)

let parameter = "v"

(* [None] if contents may have changed in place since the time that the file has. *)
let version_of path (stat : Soil.Fs.stat) =
  match if stat.modified = 0. then Soil.Fs.contents path else None with
  | Some contents -> Some (Printf.sprintf "%x" (hash_of path contents))
  | None ->
      if is_recent stat then None
      else Some (Printf.sprintf "%x-%x" stat.size (microseconds stat.modified))

let versioned ~root path =
  match version_of (root ^ path) (Soil.Fs.stat (root ^ path)) with
  | Some version -> path ^ "?" ^ parameter ^ "=" ^ version
  | None -> path

let caching request path stat =
  let asked = List.assoc_opt parameter (Server.query request) in
  let is_current = Option.fold ~none:false ~some:(fun v -> asked = Some [ v ]) in
  H.init_with "cache-control"
    (if asked <> None && is_current (version_of path stat) then
       "public, max-age=31536000, immutable"
     else "no-cache")

let rec find request ~root ~index ~gzip ~versions path ~is_directory =
  match Soil.Fs.stat (root ^ path) with
  | { kind = File; _ } as stat when not is_directory ->
      let headers = if versions then Some (caching request (root ^ path) stat) else None in
      respond_to request (root ^ path) stat ?headers ~gzip ()
  | { kind = Directory; _ } when is_directory ->
      find request ~root ~index ~gzip ~versions (path ^ "/" ^ index) ~is_directory:false
  | { kind = Directory; _ } ->
      let target = Uri.to_string (Uri.make ~path:(path ^ "/") ()) in
      Server.redirect ~status:`Moved_permanently target
  | { kind = File | Symlink; _ } -> Server.error request `Not_found
  | exception
      Soil.Error { code = Not_found | Not_directory | Invalid | Invalid_name | Name_too_long; _ } ->
      Server.error request `Not_found

let handler ?(index = "index.html") ?(gzip = true) ?(versions = false) root request =
  match Server.meth request with
  | `GET | `HEAD -> (
      let find = find request ~root ~index ~gzip ~versions in
      let join reversed = String.concat "" (List.rev_map (fun name -> "/" ^ name) reversed) in
      match names (Server.path request) with
      | Some ("" :: names) -> (
          match List.rev names with
          | "" :: above when not (List.mem "" above) -> find (join above) ~is_directory:true
          | reversed when not (List.mem "" reversed) -> find (join reversed) ~is_directory:false
          | _ -> Server.error request `Not_found)
      | Some _ | None -> Server.error request `Bad_request)
  | _ -> Server.error request ~headers:(H.init_with "allow" "GET, HEAD") `Method_not_allowed
