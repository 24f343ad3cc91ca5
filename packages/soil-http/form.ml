module D = Soil.File_descriptor

type t = (string * string) list

let find form name = List.assoc_opt name form

(* Text *)

let decode_pair text =
  let name, value = Soil.Private.cut '=' text in
  match (Percent.decode ~plus:' ' name, Percent.decode ~plus:' ' value) with
  | Some name, Some value when String.is_valid_utf_8 name && String.is_valid_utf_8 value ->
      Some (name, value)
  | _ -> None

(* The pairs of [s], whose texts [decode i text] decodes; [i] is where they begin. *)
let fold_pairs decode s =
  let length = String.length s in
  let rec go i form =
    if i >= length then Some (List.rev form)
    else
      let stop = Option.value (String.index_from_opt s i '&') ~default:length in
      if stop = i then go (i + 1) form
      else
        match decode i (String.sub s i (stop - i)) with
        | Some pair -> go (stop + 1) (pair :: form)
        | None -> None
  in
  go 0 []

let decode s = fold_pairs (fun _ text -> decode_pair text) s

let is_unreserved = function
  | '0' .. '9' | 'A' .. 'Z' | 'a' .. 'z' | '*' | '-' | '.' | '_' -> true
  | _ -> false

let encode form =
  let b = Buffer.create 256 in
  let add_char c =
    if c = ' ' then Buffer.add_char b '+' else Percent.add b ~is_plain:is_unreserved c
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

(* Other tasks run after so many bytes. *)
let piece = 16384

(* What a field takes without its text. *)
let pair_bytes = 96

let read_encoded ?max ~max_fields ~max_field request =
  let text = Server.body_string ?max request in
  let separators = String.fold_left (fun n c -> if c = '&' then n + 1 else n) 0 text in
  if separators >= max_fields then too_large ();
  let next = ref piece in
  let decode i text =
    (* An escape is three bytes, and an equals sign is between the two. *)
    if String.length text - 1 > 6 * max_field then too_large ();
    if i + String.length text >= !next then (
      next := i + String.length text + piece;
      Soil.Task.yield ());
    let is_long s = String.length s > max_field in
    Soil.Budget.hold (pair_bytes + String.length text);
    match decode_pair text with
    | Some (name, value) when is_long name || is_long value -> too_large ()
    | pair -> pair
  in
  match fold_pairs decode text with None -> refuse `Bad_request | Some form -> form

let read_field ~max_field contents =
  match Body.read_text ~max:max_field contents with
  | Some value ->
      Soil.Budget.hold_made (pair_bytes + String.length value);
      if String.is_valid_utf_8 value then value else refuse `Bad_request
  | None -> too_large ()

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
