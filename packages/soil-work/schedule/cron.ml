(* Sets of small numbers are bits. *)
type t = {
  minutes : int;
  hours : int;
  days : int;
  months : int;
  weekdays : int;
  any_day : bool;  (** One of the fields of days begins with a star: both have to match. *)
  is_frequent : bool;  (** The minute or the hour begins with a star. *)
}

exception Invalid of string

let invalid format = Printf.ksprintf (fun text -> raise_notrace (Invalid text)) format

type field = { title : string; low : int; high : int; names : string list }

let minute = { title = "minute"; low = 0; high = 59; names = [] }
let hour = { title = "hour"; low = 0; high = 23; names = [] }
let day = { title = "day of the month"; low = 1; high = 31; names = [] }

let month =
  let names = String.split_on_char ' ' "jan feb mar apr may jun jul aug sep oct nov dec" in
  { title = "month"; low = 1; high = 12; names }

(* 0 and 7 are Sunday. *)
let weekday =
  let names = String.split_on_char ' ' "sun mon tue wed thu fri sat" in
  { title = "day of the week"; low = 0; high = 7; names }

let decimal text =
  let is_digit c = c >= '0' && c <= '9' in
  if text <> "" && String.length text <= 4 && String.for_all is_digit text then
    int_of_string_opt text
  else None

let value field text =
  let rec find i = function
    | [] -> None
    | name :: rest ->
        if name = String.lowercase_ascii text then Some (field.low + i) else find (i + 1) rest
  in
  let found = match decimal text with Some n -> Some n | None -> find 0 field.names in
  match found with
  | Some n when n >= field.low && n <= field.high -> n
  | Some _ | None ->
      let names =
        match field.names with [] -> "" | first :: _ -> ", or a name such as " ^ first
      in
      invalid "%s %S: write a number from %d to %d%s" field.title text field.low field.high names

let range field text =
  match String.index_opt text '-' with
  | None -> invalid "%s %S: a step needs a range: write %s-%d/…" field.title text text field.high
  | Some i ->
      let low = value field (String.sub text 0 i) in
      let high = value field (String.sub text (i + 1) (String.length text - i - 1)) in
      (* Friday to Sunday. *)
      let high = if high = 0 && field.high = 7 && low > 0 then 7 else high in
      if low > high then
        invalid "%s %S: the range goes down: write %d-%d,%d-%d" field.title text low field.high
          field.low high;
      (low, high)

let item field text =
  let base, step =
    match String.index_opt text '/' with
    | None -> (text, None)
    | Some i -> (
        let step = String.sub text (i + 1) (String.length text - i - 1) in
        match decimal step with
        | Some n when n > 0 -> (String.sub text 0 i, Some n)
        | Some _ | None ->
            invalid "%s %S: the step %S isn't a number of at least 1" field.title text step)
  in
  let low, high =
    if base = "*" then (field.low, field.high)
    else if step = None && not (String.contains base '-') then
      let n = value field base in
      (n, n)
    else range field base
  in
  let step = Option.value step ~default:1 in
  let rec add set n = if n > high then set else add (set lor (1 lsl n)) (n + step) in
  add 0 low

let set field text =
  let items = String.split_on_char ',' text in
  List.fold_left (fun set text -> set lor item field text) 0 items

let has_star text = text <> "" && text.[0] = '*'
let has set n = set land (1 lsl n) <> 0

let matches_day cron days =
  let _, month, day = Soil.Private.date days in
  has cron.months month
  &&
  let of_month = has cron.days day and of_week = has cron.weekdays (Zone.weekday days) in
  if cron.any_day then of_month && of_week else of_month || of_week

let rec minute_of_day cron n =
  if n >= 1440 then None
  else if not (has cron.hours (n / 60)) then minute_of_day cron (((n / 60) + 1) * 60)
  else if has cron.minutes (n mod 60) then Some n
  else minute_of_day cron (n + 1)

(* The first second of a local minute that matches, at least [from] and less than [until]. *)
let rec first cron ~from ~until =
  if from >= until then None
  else
    let n = Zone.floor_div (from + 59) 60 in
    let day = Zone.floor_div n 1440 in
    let found = if matches_day cron day then minute_of_day cron (n - (day * 1440)) else None in
    match found with
    | Some minute ->
        let at = 60 * ((day * 1440) + minute) in
        if at < until then Some at else None
    | None -> first cron ~from:((day + 1) * 86_400) ~until

(* All dates repeat after 400 years. *)
let cycle = 146_097 * 86_400

let fields minutes hours days months weekdays =
  let on_weekdays = set weekday weekdays in
  {
    minutes = set minute minutes;
    hours = set hour hours;
    days = set day days;
    months = set month months;
    weekdays = (if has on_weekdays 7 then on_weekdays lor 1 else on_weekdays);
    any_day = has_star days || has_star weekdays;
    is_frequent = has_star minutes || has_star hours;
  }

let parse text =
  if String.length text > 1000 then invalid "it is longer than 1000 characters";
  let is_blank c = c = ' ' || c = '\t' in
  let text = String.map (fun c -> if is_blank c then ' ' else c) text in
  match List.filter (( <> ) "") (String.split_on_char ' ' text) with
  | [ ("@yearly" | "@annually") ] -> fields "0" "0" "1" "1" "*"
  | [ "@monthly" ] -> fields "0" "0" "1" "*" "*"
  | [ "@weekly" ] -> fields "0" "0" "*" "*" "0"
  | [ ("@daily" | "@midnight") ] -> fields "0" "0" "*" "*" "*"
  | [ "@hourly" ] -> fields "0" "*" "*" "*" "*"
  | [ "@reboot" ] -> invalid "@reboot isn't a time: call the function at the program's start"
  | word :: _ when word.[0] = '@' ->
      invalid "unknown name: write @yearly, @monthly, @weekly, @daily or @hourly"
  | [ minutes; hours; days; months; weekdays ] -> fields minutes hours days months weekdays
  | words ->
      invalid "it has %d fields: write minute, hour, day of the month, month, day of the week"
        (List.length words)

let of_string text =
  match
    let cron = parse text in
    if first cron ~from:0 ~until:cycle = None then
      invalid "no date has this day of the month and this month: change one of them";
    cron
  with
  | cron -> cron
  | exception Invalid detail ->
      let subject = Printf.sprintf "%S" (String.sub text 0 (min 100 (String.length text))) in
      Soil.Error.fail Bad_configuration "cron" ~subject ~detail

let is_frequent cron = cron.is_frequent

(* Offsets differ by less. *)
let longest_shift = 53 * 3600

(* The end of the local times that clocks have shown before the period [p]. *)
let shown zone (p : Zone.period) =
  let rec search latest (q : Zone.period) =
    if q.from <= p.from - longest_shift then latest
    else search (max latest (q.from + q.before)) (Zone.period zone (q.from - 1))
  in
  if p.from = min_int then min_int else search min_int p

(* The first time of a period that is at least [from], which is in it. *)
let in_period zone cron (p : Zone.period) from =
  let shown = if cron.is_frequent then min_int else shown zone p in
  let skipped () = first cron ~from:shown ~until:(p.from + p.offset) in
  if shown > min_int && from = p.from && skipped () <> None then Some p.from
  else
    let local = max (from + p.offset) shown in
    let until = if p.until = max_int then from + cycle else p.until + p.offset in
    Option.map (fun at -> at - p.offset) (first cron ~from:local ~until)

let next zone cron ~after =
  let start = int_of_float (Float.floor after) + 1 in
  let rec search from =
    let p = Zone.period zone from in
    match in_period zone cron p from with
    | Some at -> Some (float at)
    | None -> if p.until = max_int || p.until > start + cycle then None else search p.until
  in
  search start
