(* The wall clock is near the host's (argument 1, seconds since 1970), moves forward, and sleeping
   takes the time asked for. *)
let () =
  let host = float_of_string Sys.argv.(1) in
  let now = Unix.gettimeofday () in
  if Float.abs (now -. host) < 30. then print_endline "wall clock is right"
  else Printf.printf "wall clock is off by %.1f s\n" (now -. host);
  let year = (Unix.gmtime now).tm_year + 1900 in
  Printf.printf "year plausible: %b\n" (year >= 2025 && year < 2100);
  let before = Unix.gettimeofday () in
  Unix.sleepf 0.3;
  let slept = Unix.gettimeofday () -. before in
  if slept >= 0.29 && slept < 30. then print_endline "slept"
  else Printf.printf "slept %.3f s\n" slept;
  let cpu = Sys.time () in
  let rec spin n = if Sys.time () -. cpu < 0.05 && n > 0 then spin (n - 1) in
  spin 100_000_000;
  print_endline (if Sys.time () > cpu then "processor time moves" else "processor time stands")
