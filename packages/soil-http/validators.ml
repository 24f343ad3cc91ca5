module H = Cohttp.Header

type t = { tag : string; modified : float option }
type outcome = Whole | Parts of (int * int) list | Unsatisfiable | Not_modified | Failed

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

type spec = Invalid | Beyond | Range of int * int

let spec text ~size =
  match String.split_on_char '-' text with
  | [ ""; last ] when Grammar.is_digits last ->
      let length = min size (number last ~size) in
      if length = 0 then Beyond else Range (size - length, length)
  | [ first; last ] when Grammar.is_digits first && (last = "" || Grammar.is_digits last) ->
      let first = number first ~size in
      let last = if last = "" then max_int else number last ~size in
      if last < first && first < size then Invalid
      else if first >= size then Beyond
      else Range (first, min last (size - 1) - first + 1)
  | _ -> Invalid

let max_ranges = 16
let overhead = 80 (* about what a part takes beside its bytes (RFC 9110 §15.3.7.2) *)

(* In order, and without gaps that are shorter than another part's head: so what is sent is hardly
   longer than the whole, whatever is asked for. *)
let coalesce ranges =
  let rec go = function
    | (a, m) :: (b, n) :: rest when b <= a + m + overhead -> go ((a, max m (b + n - a)) :: rest)
    | range :: rest -> range :: go rest
    | [] -> []
  in
  go (List.sort compare ranges)

(* [None]: not ranges that are understood, so none. *)
let ranges value ~size =
  let prefix = "bytes=" in
  let start = String.length prefix in
  if String.length value <= start || not (Grammar.equal (String.sub value 0 start) prefix) then None
  else
    let set = Grammar.elements (String.sub value start (String.length value - start)) in
    let specs = List.map (spec ~size) set in
    if specs = [] || List.compare_length_with specs max_ranges > 0 || List.mem Invalid specs then
      None
    else
      let satisfiable = function Range (at, n) -> Some (at, n) | Beyond | Invalid -> None in
      match List.filter_map satisfiable specs with
      | [] -> Some Unsatisfiable
      | ranges -> Some (Parts (coalesce ranges))

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
        Option.value (ranges value ~size) ~default:Whole
    | _ -> Whole
