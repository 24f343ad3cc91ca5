(* A rule's time of a year: a day, and seconds of the local time after its midnight, which may be
   negative or more than a day. *)
type day = Julian of int | Of_year of int | Of_month of { month : int; week : int; weekday : int }
type change = { day : day; time : int }

type rule =
  | Fixed of int
  | Changes of { standard : int; summer : int; start : change; stop : change }

(* [offsets.(i)] counts from [times.(i)] on, [first] before, and [rule] after the last time. *)
type t = { times : int array; offsets : int array; first : int; rule : rule option }
type period = { from : int; until : int; offset : int; before : int }

exception Invalid of string

let invalid format = Printf.ksprintf (fun text -> raise_notrace (Invalid text)) format
let day = 86_400
let floor_div a b = if a >= 0 then a / b else -((b - 1 - a) / b)
let utc = { times = [||]; offsets = [||]; first = 0; rule = None }

(* Rules *)

(* Days from 1970-01-01 to the first of January. *)
let new_year year =
  let y = year - 1 in
  (365 * (year - 1970)) + floor_div y 4 - floor_div y 100 + floor_div y 400 - 477

let is_leap year = new_year (year + 1) - new_year year = 366
let before_month = [| 0; 31; 59; 90; 120; 151; 181; 212; 243; 273; 304; 334; 365 |]

let month_start year month =
  new_year year + before_month.(month - 1) + if month > 2 && is_leap year then 1 else 0

(* 0 is Sunday. *)
let weekday days = (((days + 4) mod 7) + 7) mod 7

let day_in year = function
  | Julian n -> new_year year + n - 1 + if n >= 60 && is_leap year then 1 else 0
  | Of_year n -> new_year year + n
  | Of_month { month; week; weekday = wanted } ->
      let first = month_start year month in
      let after = if month = 12 then new_year (year + 1) else month_start year (month + 1) in
      let days = first + ((wanted - weekday first + 7) mod 7) + (7 * (week - 1)) in
      if days >= after then days - 7 else days

let changes_in year = function
  | Fixed _ -> []
  | Changes { standard; summer; start; stop } ->
      let at change offset = (day_in year change.day * day) + change.time - offset in
      let start = (at start standard, summer) and stop = (at stop summer, standard) in
      if fst start < fst stop then [ start; stop ] else [ stop; start ]

(* The changes of the years, the last one first. One that isn't before a change of a later year has
   no effect: daylight saving that ends when the next year's begins is permanent. *)
let changes rule ~first ~last =
  let rec before at = function
    | (_, other, _) :: rest when other >= at -> before at rest
    | changes -> changes
  in
  let add year changes (at, offset) = (year, at, offset) :: before at changes in
  let rec years year changes =
    if year > last then changes
    else years (year + 1) (List.fold_left (add year) changes (changes_in year rule))
  in
  years first []

(* All years repeat after 400. *)
let simplified rule =
  match changes rule ~first:2000 ~last:2400 with
  | (_, _, offset) :: rest when List.for_all (fun (_, _, other) -> other = offset) rest ->
      Fixed offset
  | _ -> rule

(* The changes of the last year aren't known to have an effect. Some rules change only in leap
   years, at most eight years apart. *)
let rec by_rule ?(years = 2) rule time =
  match rule with
  | Fixed offset -> { from = min_int; until = max_int; offset; before = offset }
  | Changes { standard; _ } ->
      let year, _, _ = Soil.Private.date (floor_div time day) in
      let last = year + years in
      let rec find period = function
        | (_, _, offset) :: rest when offset = period.offset -> find period rest
        | (_, at, offset) :: rest when at <= time ->
            find { from = at; until = max_int; offset; before = period.offset } rest
        | (year, at, _) :: _ when year < last -> { period with until = at }
        | _ -> period
      in
      let known = List.rev (changes rule ~first:(year - years) ~last) in
      let offset = match known with (_, _, offset) :: _ -> offset | [] -> standard in
      let p = find { from = min_int; until = max_int; offset; before = offset } known in
      if (p.from = min_int || p.until = max_int) && years < 16 then by_rule ~years:16 rule time
      else p

(* Periods *)

(* The index of the last of the increasing [times] that is at most [time]; or -1. *)
let last_index times time =
  let rec search low high =
    if low = high then low - 1
    else
      let middle = (low + high) / 2 in
      if times.(middle) <= time then search (middle + 1) high else search low middle
  in
  search 0 (Array.length times)

let period zone time =
  let n = Array.length zone.times in
  let offset i = if i < 0 then zone.first else zone.offsets.(i) in
  let i = last_index zone.times time in
  let from = if i < 0 then min_int else zone.times.(i) in
  match zone.rule with
  | Some rule when i = n - 1 ->
      let p = by_rule rule time in
      if p.from > from then p
      else { p with from; before = (if i < 0 then p.offset else offset (i - 1)) }
  | Some _ | None ->
      let until = if i + 1 < n then zone.times.(i + 1) else max_int in
      { from; until; offset = offset i; before = offset (i - 1) }

let offset zone time = (period zone (int_of_float (Float.floor time))).offset

(* POSIX: a cursor on the text. *)

type cursor = { text : string; mutable at : int }

let peek c = if c.at < String.length c.text then c.text.[c.at] else '\000'

let accept c char =
  let found = peek c = char in
  if found then c.at <- c.at + 1;
  found

let expect c char what =
  if not (accept c char) then invalid "%S lacks %s at position %d" c.text what c.at

let number c ~low ~high what =
  let rec digits n =
    match peek c with
    | '0' .. '9' as digit when n <= high ->
        c.at <- c.at + 1;
        digits ((10 * n) + Char.code digit - 48)
    | _ -> n
  in
  let first = c.at in
  let n = digits 0 in
  if c.at = first || n < low || n > high then
    invalid "%S has no %s from %d to %d at position %d" c.text what low high first;
  n

let name c =
  let is_quoted = accept c '<' in
  let first = c.at in
  let rec skip () =
    match peek c with
    | 'a' .. 'z' | 'A' .. 'Z' ->
        c.at <- c.at + 1;
        skip ()
    | ('0' .. '9' | '+' | '-') when is_quoted ->
        c.at <- c.at + 1;
        skip ()
    | _ -> ()
  in
  skip ();
  if c.at - first < 3 then invalid "%S has no name of three characters at position %d" c.text first;
  if is_quoted then expect c '>' "a \">\""

let span c ~hours =
  let sign = if accept c '-' then -1 else if accept c '+' then 1 else 1 in
  let h = number c ~low:0 ~high:hours "hour" in
  let sixty what = if accept c ':' then number c ~low:0 ~high:59 what else 0 in
  let minutes = sixty "minute" in
  let seconds = sixty "second" in
  sign * ((3600 * h) + (60 * minutes) + seconds)

let change c =
  expect c ',' "a rule, such as \",M3.5.0\",";
  let day =
    if accept c 'J' then Julian (number c ~low:1 ~high:365 "day")
    else if accept c 'M' then (
      let month = number c ~low:1 ~high:12 "month" in
      expect c '.' "a \".\"";
      let week = number c ~low:1 ~high:5 "week" in
      expect c '.' "a \".\"";
      Of_month { month; week; weekday = number c ~low:0 ~high:6 "weekday" })
    else Of_year (number c ~low:0 ~high:365 "day")
  in
  { day; time = (if accept c '/' then span c ~hours:167 else 7200) }

let rule_of text =
  let c = { text; at = 0 } in
  name c;
  let standard = -span c ~hours:24 in
  let rule =
    if c.at = String.length text then Fixed standard
    else (
      name c;
      let is_default = peek c = ',' || c.at = String.length text in
      let summer = if is_default then standard + 3600 else -span c ~hours:24 in
      let start = change c in
      simplified (Changes { standard; summer; start; stop = change c }))
  in
  if c.at < String.length text then invalid "%S continues after the rules at %d" text c.at;
  rule

(* TZif *)

type counts = { utc : int; std : int; leap : int; time : int; kind : int; char : int }

let header = 44

let counts data at =
  if String.length data < at + header || String.sub data at 4 <> "TZif" then
    invalid "the data isn't of the format TZif, as in /usr/share/zoneinfo";
  let count i =
    let n = Int32.to_int (String.get_int32_be data (at + 20 + (4 * i))) in
    if n < 0 || n > String.length data then invalid "a count of %d is beyond the data" n;
    n
  in
  let c =
    { utc = count 0; std = count 1; leap = count 2; time = count 3; kind = count 4; char = count 5 }
  in
  if c.leap > 0 then invalid "the data counts leap seconds; use the file outside of \"right\"";
  if c.kind = 0 then invalid "the data has no offset";
  c

let length c ~width =
  (c.time * (width + 1)) + (c.kind * 6) + c.char + (c.leap * (width + 4)) + c.std + c.utc

let block data at c ~width =
  if String.length data < at + length c ~width then invalid "the data is cut off";
  let time i =
    if width = 8 then Int64.to_int (String.get_int64_be data (at + (8 * i)))
    else Int32.to_int (String.get_int32_be data (at + (4 * i)))
  in
  let kinds = at + (c.time * width) in
  let offset kind =
    if kind >= c.kind then invalid "offset %d is beyond the data" kind;
    let n = Int32.to_int (String.get_int32_be data (kinds + c.time + (6 * kind))) in
    if abs n > 93_600 then invalid "an offset of %d s is beyond 26 h" n;
    n
  in
  let times = Array.init c.time time in
  Array.iteri
    (fun i t -> if i > 0 && t <= times.(i - 1) then invalid "the times aren't in order")
    times;
  let offsets = Array.init c.time (fun i -> offset (String.get_uint8 data (kinds + i))) in
  { times; offsets; first = offset 0; rule = None }

let tzif data =
  let c = counts data 0 in
  if data.[4] = '\000' then block data header c ~width:4
  else
    let second = header + length c ~width:4 in
    let c = counts data second in
    let zone = block data (second + header) c ~width:8 in
    let footer = second + header + length c ~width:8 in
    match String.index_from_opt data (min (String.length data) (footer + 1)) '\n' with
    | Some last when data.[footer] = '\n' ->
        let text = String.sub data (footer + 1) (last - footer - 1) in
        { zone with rule = (if text = "" then None else Some (rule_of text)) }
    | Some _ | None -> invalid "the data has no footer"

let named subject f =
  try f () with Invalid detail -> Soil.Error.fail Bad_configuration "time zone" ~subject ~detail

let of_posix text = named text (fun () -> { utc with rule = Some (rule_of text) })
let of_tzif ?(name = "") data = named name (fun () -> tzif data)

let load ~folder name =
  let is_name = function
    | 'a' .. 'z' | 'A' .. 'Z' | '0' .. '9' | '/' | '_' | '-' | '+' -> true
    | _ -> false
  in
  named name @@ fun () ->
  if name = "" || name.[0] = '/' || not (String.for_all is_name name) then
    invalid "it isn't a name such as \"Europe/Berlin\"";
  let path = folder ^ "/" ^ name in
  match Soil.Fs.read_file path with
  | data -> tzif data
  | exception Soil.Error { code = Not_found | Is_directory; _ } ->
      invalid "%s has no such zone: embed its file of /usr/share/zoneinfo there" folder
