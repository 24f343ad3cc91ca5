module D = Soil.File_descriptor

type t = (string * string) list

let find form name = List.assoc_opt name form

(* Text *)

let decode_pair text =
  let name, value =
    match String.index_opt text '=' with
    | Some i -> (String.sub text 0 i, String.sub text (i + 1) (String.length text - i - 1))
    | None -> (text, "")
  in
  match (Percent.decode ~plus:' ' name, Percent.decode ~plus:' ' value) with
  | Some name, Some value when String.is_valid_utf_8 name && String.is_valid_utf_8 value ->
      Some (name, value)
  | _ -> None

let decode s =
  let rec pairs = function
    | [] -> Some []
    | "" :: after -> pairs after
    | text :: after ->
        Option.bind (decode_pair text) (fun pair -> Option.map (List.cons pair) (pairs after))
  in
  pairs (String.split_on_char '&' s)

let is_unreserved = function
  | '0' .. '9' | 'A' .. 'Z' | 'a' .. 'z' | '*' | '-' | '.' | '_' -> true
  | _ -> false

let encode form =
  let b = Buffer.create 256 in
  let add_char c =
    if is_unreserved c then Buffer.add_char b c
    else if c = ' ' then Buffer.add_char b '+'
    else Buffer.add_string b (Printf.sprintf "%%%02X" (Char.code c))
  in
  let add (name, value) =
    if Buffer.length b > 0 then Buffer.add_char b '&';
    String.iter add_char name;
    Buffer.add_char b '=';
    String.iter add_char value
  in
  List.iter add form;
  Buffer.contents b

(* Requests *)

let refuse status = Soil_backtrace.raise (Server.Refused status)
let too_large () = refuse `Request_entity_too_large

let read_encoded ?max ~max_fields ~max_field request =
  let text = Server.body_string ?max request in
  let separators = String.fold_left (fun n c -> if c = '&' then n + 1 else n) 0 text in
  if separators >= max_fields then too_large ();
  match decode text with
  | None -> refuse `Bad_request
  | Some form ->
      let is_long s = String.length s > max_field in
      if List.exists (fun (name, value) -> is_long name || is_long value) form then too_large ();
      form

let read_field ~max_field contents =
  match D.read_all ~max:max_field contents with
  | value -> if String.is_valid_utf_8 value then value else refuse `Bad_request
  | exception Soil.Error { code = Too_large; _ } -> too_large ()

let read_multipart ?max ~max_fields ~max_field ?file request =
  let form = ref [] in
  let add (part : Multipart.part) contents =
    match (part.filename, file) with
    | None, _ -> form := (part.name, read_field ~max_field contents) :: !form
    | Some "", _ -> if D.read contents (Bytes.create 1) 0 1 > 0 then refuse `Bad_request
    | Some _, None -> refuse `Bad_request
    | Some _, Some file -> file part contents
  in
  Multipart.iter ?max ~max_parts:max_fields request add;
  List.rev !form

let is_utf_8 (t : Media_type.t) =
  match List.assoc_opt "charset" t.parameters with
  | Some charset -> Grammar.equal charset "utf-8"
  | None -> true

let read ?max ?(max_fields = 100) ?(max_field = 65536) ?file request =
  match Media_type.of_request request with
  | Some ({ name = "application/x-www-form-urlencoded"; _ } as t) when is_utf_8 t ->
      read_encoded ?max ~max_fields ~max_field request
  | Some ({ name = "multipart/form-data"; _ } as t) when is_utf_8 t ->
      read_multipart ?max ~max_fields ~max_field ?file request
  | Some _ | None -> refuse `Unsupported_media_type
