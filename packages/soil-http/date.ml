let weekdays = [| "Thu"; "Fri"; "Sat"; "Sun"; "Mon"; "Tue"; "Wed" |] (* 1970 began on a Thursday *)
let months = "JanFebMarAprMayJunJulAugSepOctNovDec"

(* Days since 1970-01-01 and civil dates, by years that begin in March: the leap day is the last. *)

let days_of_date year month day =
  let year = if month <= 2 then year - 1 else year in
  let era = year / 400 in
  let of_era = year - (era * 400) in
  let of_year = (((153 * ((month + 9) mod 12)) + 2) / 5) + day - 1 in
  (era * 146097) + (of_era * 365) + (of_era / 4) - (of_era / 100) + of_year - 719468

let date_of_days = Soil.Private.date

let to_string t =
  let seconds = max 0 (int_of_float t) in
  let days = seconds / 86400 and time = seconds mod 86400 in
  let year, month, day = date_of_days days in
  let two n = if n < 10 then "0" ^ string_of_int n else string_of_int n in
  let rec four s = if String.length s < 4 then four ("0" ^ s) else s in
  String.concat ""
    [
      weekdays.(days mod 7); ", "; two day; " ";
      String.sub months (3 * (month - 1)) 3;
      " ";
      four (string_of_int year);
      " ";
      two (time / 3600); ":"; two (time / 60 mod 60); ":"; two (time mod 60); " GMT";
    ]
[@@ocamlformat "disable"]

let to_rfc_3339 t =
  let milliseconds = max 0 (int_of_float (t *. 1e3)) in
  let seconds = milliseconds / 1000 in
  let year, month, day = date_of_days (seconds / 86400) and time = seconds mod 86400 in
  Printf.sprintf "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ" year month day (time / 3600)
    (time / 60 mod 60)
    (time mod 60) (milliseconds mod 1000)

let month name =
  let rec go i =
    if i = 12 then None else if String.sub months (3 * i) 3 = name then Some (i + 1) else go (i + 1)
  in
  go 0

let number s = if Grammar.is_digits s && String.length s <= 4 then int_of_string_opt s else None
let ( let* ) = Option.bind

let moment ~year ~month:name ~day ~time =
  let* month = month name in
  let* year = number year in
  let* day = number day in
  match List.map number (String.split_on_char ':' time) with
  | [ Some h; Some m; Some s ]
    when String.length time = 8 && day >= 1 && h < 24 && m < 60 && s <= 60 ->
      let days = days_of_date year month day in
      (* A day that the month doesn't have is that of another date. *)
      if year >= 1970 && date_of_days days = (year, month, day) then
        Some (float_of_int ((((((days * 24) + h) * 60) + m) * 60) + s))
      else None
  | _ -> None

let of_string s =
  match List.filter (fun w -> w <> "") (String.split_on_char ' ' s) with
  | [ _; day; month; year; time; "GMT" ] when String.length year = 4 ->
      moment ~year ~month ~day ~time
  | [ _; date; time; "GMT" ] -> (
      match String.split_on_char '-' date with
      | [ day; month; year ] when String.length year = 2 ->
          let century = if year < "70" then "20" else "19" in
          moment ~year:(century ^ year) ~month ~day ~time
      | _ -> None)
  | [ _; month; day; time; year ] when String.length year = 4 -> moment ~year ~month ~day ~time
  | _ -> None

let last = ref (-1, "")

let now () =
  let second = int_of_float (Soil.Clock.now ()) in
  let made, text = !last in
  if made = second then text
  else
    let text = to_string (float_of_int second) in
    last := (second, text);
    text
