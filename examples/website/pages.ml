type t =
  | Page of { path : string; size : int; modified : float; content_type : string }
  | Moved of string
  | Missing
  | Malformed

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
  | ".xml" -> "application/xml"
  | ".json" -> "application/json"
  | ".svg" -> "image/svg+xml"
  | ".png" -> "image/png"
  | ".jpg" | ".jpeg" -> "image/jpeg"
  | ".gif" -> "image/gif"
  | ".webp" -> "image/webp"
  | ".ico" -> "image/x-icon"
  | ".pdf" -> "application/pdf"
  | ".wasm" -> "application/wasm"
  | ".woff2" -> "font/woff2"
  | _ -> "application/octet-stream"

(* The decoded names of a path. A name that isn't one (a slash in disguise, the way up, control
   characters) is malformed. *)
let names path =
  let is_name s =
    s <> "." && s <> ".."
    && String.for_all (fun c -> c >= ' ' && c <> '/' && c <> '\\' && c <> '\127') s
  in
  let names = List.map Uri.pct_decode (String.split_on_char '/' path) in
  if List.for_all is_name names then Some names else None

let before c s = match String.index_opt s c with Some i -> String.sub s 0 i | None -> s

(* [http://host/path] is allowed in place of [/path] (RFC 9112 §3.2.2). *)
let origin_form target =
  if String.starts_with ~prefix:"/" target then before '?' target
  else match Uri.path (Uri.of_string target) with "" -> "/" | path -> path

let rec find_path ~root path ~is_directory =
  match Soil.Fs.stat (root ^ path) with
  | { kind = File; size; modified; _ } when not is_directory ->
      Page { path = root ^ path; size; modified; content_type = content_type path }
  | { kind = Directory; _ } when is_directory ->
      find_path ~root (path ^ "/index.html") ~is_directory:false
  | { kind = Directory; _ } -> Moved (path ^ "/")
  | { kind = File | Symlink; _ } -> Missing
  | exception
      Soil.Error { code = Not_found | Not_directory | Invalid | Invalid_name | Name_too_long; _ } ->
      Missing

let find ~root target =
  match names (origin_form target) with
  | Some ("" :: names) -> (
      match List.rev names with
      | "" :: above when not (List.mem "" above) ->
          let path = String.concat "" (List.rev_map (fun name -> "/" ^ name) above) in
          find_path ~root path ~is_directory:true
      | reversed when not (List.mem "" reversed) ->
          let path = String.concat "" (List.rev_map (fun name -> "/" ^ name) reversed) in
          find_path ~root path ~is_directory:false
      | _ -> Missing)
  | Some _ | None -> Malformed
