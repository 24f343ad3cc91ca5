let weekdays = [| "Thu"; "Fri"; "Sat"; "Sun"; "Mon"; "Tue"; "Wed" |] (* 1970 began on a Thursday *)

let months =
  [| "Jan"; "Feb"; "Mar"; "Apr"; "May"; "Jun"; "Jul"; "Aug"; "Sep"; "Oct"; "Nov"; "Dec" |]

let is_leap year = (year mod 4 = 0 && year mod 100 <> 0) || year mod 400 = 0
let days_in_year year = if is_leap year then 366 else 365

let days_in_month year = function
  | 1 -> if is_leap year then 29 else 28
  | 3 | 5 | 8 | 10 -> 30
  | _ -> 31

(* Year, month from 0, and day of the month from 0, of a day counted from the start of [year], or of
   [month]. *)
let rec find_year year day =
  let n = days_in_year year in
  if day >= n then find_year (year + 1) (day - n) else (year, day)

let rec find_month year month day =
  let n = days_in_month year month in
  if day >= n then find_month year (month + 1) (day - n) else (month, day)

let to_string t =
  let seconds = max 0 (int_of_float t) in
  let days = seconds / 86400 and time = seconds mod 86400 in
  let year, day = find_year 1970 days in
  let month, day = find_month year 0 day in
  Printf.sprintf "%s, %02d %s %d %02d:%02d:%02d GMT"
    weekdays.(days mod 7)
    (day + 1) months.(month) year (time / 3600)
    (time / 60 mod 60)
    (time mod 60)
