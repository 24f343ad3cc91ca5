module H = Cohttp.Header

type t = { tag : string; modified : float option }
type outcome = Whole | Part of int * int | Unsatisfiable | Not_modified | Failed

let is_weak tag = String.starts_with ~prefix:"W/" tag
let opaque tag = if is_weak tag then String.sub tag 2 (String.length tag - 2) else tag
let equal_weakly a b = opaque a = opaque b
let equal_strongly a b = a = b && not (is_weak a)

let matches equal headers name tag =
  match H.get_multi headers name with
  | [] -> None
  | values ->
      let tags = List.concat_map Grammar.elements values in
      Some (List.exists (fun other -> other = "*" || equal other tag) tags)

let date headers name = Option.bind (H.get headers name) Date.of_string

(* Dates of HTTP have no parts of seconds. *)
let seconds t = Option.map floor t.modified

(* [None] without such a field, or if it is to be ignored. *)
let compared headers name t compare =
  match (date headers name, seconds t) with
  | Some date, Some modified -> Some (compare modified date)
  | _ -> None

let number s ~size = if String.length s > 18 then size else int_of_string s

(* [None]: not a range that is understood, so none. *)
let range value ~size =
  let prefix = "bytes=" in
  let start = String.length prefix in
  if String.length value <= start || not (Grammar.equal (String.sub value 0 start) prefix) then None
  else
    let set = String.sub value start (String.length value - start) in
    match String.split_on_char '-' (String.trim set) with
    | [ ""; last ] when Grammar.is_digits last ->
        let length = min size (number last ~size) in
        Some (if length = 0 then Unsatisfiable else Part (size - length, length))
    | [ first; last ] when Grammar.is_digits first && (last = "" || Grammar.is_digits last) ->
        let first = number first ~size in
        let last = if last = "" then size - 1 else number last ~size in
        if last < first && first < size then None
        else if first >= size then Some Unsatisfiable
        else Some (Part (first, min last (size - 1) - first + 1))
    | _ -> None

let range_holds headers t =
  match H.get headers "if-range" with
  | None -> true
  | Some value -> (
      if String.contains value '"' then equal_strongly value t.tag
      else
        match (Date.of_string value, seconds t) with
        | Some date, Some modified -> date = modified && not (is_weak t.tag)
        | _ -> false)

let judge (request : Cohttp.Request.t) t ~size =
  let headers = request.headers in
  let is_get = request.meth = `GET in
  let reads = is_get || request.meth = `HEAD in
  let if_match =
    match matches equal_strongly headers "if-match" t.tag with
    | Some met -> met
    | None -> Option.value (compared headers "if-unmodified-since" t ( <= )) ~default:true
  in
  let is_known =
    match matches equal_weakly headers "if-none-match" t.tag with
    | Some known -> known
    | None -> reads && Option.value (compared headers "if-modified-since" t ( <= )) ~default:false
  in
  if not if_match then Failed
  else if is_known then if reads then Not_modified else Failed
  else
    match H.get headers "range" with
    | Some value when is_get && range_holds headers t ->
        Option.value (range value ~size) ~default:Whole
    | _ -> Whole
