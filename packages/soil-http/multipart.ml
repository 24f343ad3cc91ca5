module D = Soil.File_descriptor
module H = Cohttp.Header

type part = {
  name : string;
  filename : string option;
  content_type : Media_type.t option;
  headers : H.t;
}

let malformed () = Soil_backtrace.raise (Server.Refused `Bad_request)
let too_large () = Soil_backtrace.raise (Server.Refused `Request_entity_too_large)

(* Input: [buffer] has bytes [at … stop - 1], not yet used. *)

type input = {
  source : [ `Read ] D.t;
  buffer : bytes;
  delimiter : string;  (** CRLF, two hyphens and the boundary. *)
  mutable at : int;
  mutable stop : int;
}

let buffered i = i.stop - i.at

(* Waits for more, and is [false] at the end of input. *)
let more i =
  if i.at > 0 then (
    Bytes.blit i.buffer i.at i.buffer 0 (buffered i);
    i.stop <- buffered i;
    i.at <- 0);
  match D.read i.source i.buffer i.stop (Bytes.length i.buffer - i.stop) with
  | 0 -> false
  | n ->
      i.stop <- i.stop + n;
      true

let need i n =
  while buffered i < n do
    if not (more i) then malformed ()
  done

let rec is_at i position text k =
  k = String.length text
  || (Bytes.get i.buffer (position + k) = text.[k] && is_at i position text (k + 1))

let expect i text =
  need i (String.length text);
  if not (is_at i i.at text 0) then malformed ();
  i.at <- i.at + String.length text

let rec index_cr i position =
  if position = i.stop || Bytes.get i.buffer position = '\r' then position
  else index_cr i (position + 1)

(* The number of bytes of the part that are buffered, 0 at its delimiter, where the input is then.
   Waits for at least one, or for all of the delimiter. *)
let rec available i =
  let length = String.length i.delimiter in
  if buffered i = 0 then if more i then available i else malformed ()
  else if Bytes.get i.buffer i.at <> '\r' then index_cr i i.at - i.at
  else if buffered i < length then if more i then available i else malformed ()
  else if is_at i i.at i.delimiter 0 then 0
  else index_cr i (i.at + 1) - i.at

let contents i =
  let read b off len =
    let n = min len (available i) in
    Bytes.blit i.buffer i.at b off n;
    i.at <- i.at + n;
    n
  in
  Soil.Flow.source ~name:"part" read

let rec skip_rest i =
  match available i with
  | 0 -> i.at <- i.at + String.length i.delimiter
  | n ->
      i.at <- i.at + n;
      skip_rest i

(* Heads *)

(* The next line, of [left] bytes at most, with its end. *)
let line i ~left =
  let rec end_of_line position =
    let here = index_cr i position in
    if here - i.at > left then too_large ();
    if here + 1 < i.stop then if Bytes.get i.buffer (here + 1) = '\n' then here else malformed ()
    else
      let offset = here - i.at in
      if not (more i) then malformed ();
      end_of_line (i.at + offset)
  in
  let stop = end_of_line i.at in
  let text = Bytes.sub_string i.buffer i.at (stop - i.at) in
  i.at <- stop + 2;
  text

let field text =
  match String.index_opt text ':' with
  | None -> malformed ()
  | Some colon ->
      let name = String.sub text 0 colon in
      let value = String.trim (String.sub text (colon + 1) (String.length text - colon - 1)) in
      if not (Grammar.is_token name && Grammar.is_value value) then malformed ();
      (name, value)

let rec fields i ~left parsed =
  match line i ~left with
  | "" -> H.of_list (List.rev parsed)
  | text -> fields i ~left:(left - String.length text - 2) (field text :: parsed)

(* At most one. *)
let single headers name =
  match H.get_multi headers name with [] -> None | [ v ] -> Some v | _ -> malformed ()

let is_text s = String.is_valid_utf_8 s && String.for_all (fun c -> c >= ' ' && c <> '\127') s

let without_folders name =
  let after c name =
    match String.rindex_opt name c with
    | Some i -> String.sub name (i + 1) (String.length name - i - 1)
    | None -> name
  in
  match after '/' (after '\\' name) with "." | ".." -> "" | name -> name

let part_of headers =
  let disposition = Option.bind (single headers "content-disposition") Parameters.parse in
  let parameters =
    match disposition with
    | Some (kind, parameters) when Grammar.equal kind "form-data" -> parameters
    | Some _ | None -> malformed ()
  in
  let parameter name =
    let value = List.assoc_opt name parameters in
    if not (Option.fold ~none:true ~some:is_text value) then malformed ();
    value
  in
  let content_type text =
    match Media_type.of_string text with Some t -> t | None -> malformed ()
  in
  (match single headers "content-transfer-encoding" with
  | Some e when not (List.exists (Grammar.equal e) [ "7bit"; "8bit"; "binary" ]) -> malformed ()
  | Some _ | None -> ());
  match parameter "name" with
  | None -> malformed ()
  | Some name ->
      let filename = Option.map without_folders (parameter "filename") in
      let content_type = Option.map content_type (single headers "content-type") in
      { name; filename; content_type; headers }

(* Bodies *)

let is_boundary_char = function
  | '0' .. '9' | 'A' .. 'Z' | 'a' .. 'z' -> true
  | '\'' | '(' | ')' | '+' | '_' | ',' | '-' | '.' | '/' | ':' | '=' | '?' | ' ' -> true
  | _ -> false

let is_boundary s =
  let length = String.length s in
  length >= 1 && length <= 70 && String.for_all is_boundary_char s && s.[length - 1] <> ' '

let run i f ~max_parts ~max_head =
  (* After a delimiter: another part, or the end. *)
  let rec parts n =
    need i 2;
    if is_at i i.at "--" 0 then i.at <- i.at + 2
    else (
      expect i "\r\n";
      if n = max_parts then too_large ();
      let part = part_of (fields i ~left:max_head []) in
      D.with_close (contents i) (f part);
      skip_rest i;
      parts (n + 1))
  in
  (* The first delimiter has no CRLF before it. *)
  expect i (String.sub i.delimiter 2 (String.length i.delimiter - 2));
  parts 0;
  if buffered i > 0 || more i then expect i "\r\n";
  if buffered i > 0 || more i then malformed ()

let piece = 16384

let parse ?(max_parts = 100) ?(max_head = 4096) ~boundary source f =
  if not (is_boundary boundary) then invalid_arg "Soil_http.Multipart.parse: not a boundary";
  let delimiter = "\r\n--" ^ boundary in
  Soil.Budget.scratch @@ fun more ->
  let size = max piece (max_head + 2) in
  more size;
  let buffer = Bytes.create size in
  run { source :> [ `Read ] D.t; buffer; delimiter; at = 0; stop = 0 } f ~max_parts ~max_head

let iter ?max ?max_parts ?max_head request f =
  match Media_type.of_request request with
  | Some { name = "multipart/form-data"; parameters } -> (
      match List.assoc_opt "boundary" parameters with
      | Some boundary when is_boundary boundary ->
          parse ?max_parts ?max_head ~boundary (Server.body ?max request) f
      | Some _ | None -> malformed ())
  | Some _ | None -> Soil_backtrace.raise (Server.Refused `Unsupported_media_type)
