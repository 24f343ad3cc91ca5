(* Zones against Linux's, expressions against a search minute by minute, and runs on a clock that
   steps. *)

module S = Soil_schedule

let test name f = Alcotest.test_case name `Quick f

let property ?(count = 300) name generator law =
  let cell = QCheck2.Test.make ~count ~name generator law in
  test name (fun () -> QCheck2.Test.check_exn cell)

(* Zones *)

let read path = In_channel.with_open_bin path In_channel.input_all

let names =
  [ "Europe/Berlin"; "Europe/Dublin"; "America/New_York"; "America/St_Johns"; "Asia/Kolkata" ]
  @ [ "Australia/Lord_Howe"; "Pacific/Apia"; "Africa/Casablanca"; "America/Nuuk"; "Etc/UTC" ]

let rules =
  [ "CET-1CEST,M3.5.0,M10.5.0/3"; "IST-1GMT0,M10.5.0,M3.5.0/1"; "<+0330>-3:30<+0430>,J79/24,J263" ]
  @ [ "<-02>2<-01>,M3.5.0/-1,M10.5.0/0"; "EST5"; "NZST-12NZDT,M9.5.0,M4.1.0/3"; "AAA3BBB,59,300" ]

let zones =
  lazy
    (List.map (fun name -> (name, Zone.of_tzif ~name (read ("/usr/share/zoneinfo/" ^ name)))) names
    @ List.map (fun rule -> (rule, Zone.of_posix rule)) rules)

let linux name time =
  Unix.putenv "TZ" name;
  let local = Unix.localtime (float time) in
  let days = Zone.new_year (local.tm_year + 1900) + local.tm_yday in
  (days * 86_400) + (local.tm_hour * 3600) + (local.tm_min * 60) + local.tm_sec - time

let any_zone = QCheck2.Gen.map (fun i -> List.nth (Lazy.force zones) i) (QCheck2.Gen.int_bound 16)

(* Any time from 1901 to 2400, and those around a change. *)
let any_time zone =
  let open QCheck2.Gen in
  let* time = int_range (-2_177_000_000) 13_569_000_000 in
  let p = Zone.period zone time in
  let around t = int_range (t - 4000) (t + 4000) in
  let edge = if p.from = min_int then p.until else p.from in
  if edge = max_int || edge = min_int then return time else oneof [ return time; around edge ]

let any_zoned =
  let open QCheck2.Gen in
  let* name, zone = any_zone in
  let* time = any_time zone in
  return (name, zone, time)

let offsets (name, zone, time) =
  (* Glibc's rules begin in 1970. *)
  (String.contains name ',' && time < 63_072_000)
  || Zone.offset zone (float time) = linux name time
  || QCheck2.Test.fail_reportf "%s at %d: %d, and not %d" name time
       (Zone.offset zone (float time))
       (linux name time)

(* Rules *)

let span ~low ~high =
  let open QCheck2.Gen in
  let* minutes =
    oneof [ int_range low high; map (fun n -> n * 60) (int_range (low / 60) (high / 60)) ]
  in
  let sign = if minutes < 0 then "-" else "" in
  return (Printf.sprintf "%s%d:%02d" sign (abs minutes / 60) (abs minutes mod 60))

let any_day ~first ~last =
  let open QCheck2.Gen in
  let month n = (12 * n / 366) + 1 in
  oneof
    [
      map (Printf.sprintf "J%d") (int_range (max 1 first) (min 365 last));
      map string_of_int (int_range first last);
      (let* month = int_range (month first) (month (last - 1)) in
       map2 (Printf.sprintf "M%d.%d.%d" month) (int_range 1 5) (int_range 0 6));
    ]

(* In spring and autumn, where Linux's years don't meet. *)
let plain_rule =
  let open QCheck2.Gen in
  let* standard = span ~low:(-720) ~high:720 and* summer = span ~low:(-720) ~high:720 in
  let change ~first ~last =
    map2 (Printf.sprintf "%s/%s") (any_day ~first ~last) (span ~low:(-1440) ~high:2880)
  in
  let* a = change ~first:40 ~last:140 and* b = change ~first:220 ~last:320 and* swap = bool in
  let a, b = if swap then (b, a) else (a, b) in
  return (Printf.sprintf "AAA%sBBB%s,%s,%s" standard summer a b)

(* Of any order and distance; many begin when the last year's end. *)
let any_rule =
  let open QCheck2.Gen in
  let* standard = int_range (-24) 24 and* shift = int_range (-3) 3 in
  let day = any_day ~first:0 ~last:365 in
  let change = map2 (Printf.sprintf "%s/%s") day (span ~low:(-10_020) ~high:10_020) in
  let near base n = Printf.sprintf "%s/%d:%02d" base (n / 60) (abs n mod 60) in
  let* rest =
    oneof
      [
        map2 (Printf.sprintf "%s,%s") change change;
        map (Printf.sprintf "0/0,%s") (map (near "J365") (int_range 1200 1700));
        map (Printf.sprintf "%s,0/0") (map (near "J365") (int_range 1200 1700));
        return (Printf.sprintf "0/0,J365/%d" (24 + shift));
        return (Printf.sprintf "J365/%d,0/0" (24 - shift));
        (let* day = int_range 1 364 and* minutes = int_range 0 300 in
         return (Printf.sprintf "J%d/2,%s" day (near (Printf.sprintf "J%d" day) minutes)));
      ]
  in
  let summer = max (-24) (min 24 (standard - shift)) in
  return (Printf.sprintf "AAA%dBBB%d,%s" standard summer rest)

let plain_offsets (rule, time) = offsets (rule, Zone.of_posix rule, time)
let any_plain = QCheck2.Gen.(pair plain_rule (int_range 63_072_000 13_569_000_000))

(* A period is as long as its offset. *)
let periods (rule, time) =
  let zone = Zone.of_posix rule in
  let at t = Zone.offset zone (float t) in
  let p = Zone.period zone time in
  let is_start = p.from = min_int || (p.before <> p.offset && at (p.from - 1) = p.before) in
  let is_end = p.until = max_int || at p.until <> p.offset in
  p.from <= time && time < p.until
  && at time = p.offset
  && is_start && is_end
  && (p.from = min_int || at p.from = p.offset)
  && (p.until = max_int || at (p.until - 1) = p.offset)

(* RFC 9636 §3.3.1: no room for standard time. *)
let permanent () =
  let constant rule hours =
    let p = Zone.period (Zone.of_posix rule) 1_767_236_400 in
    let text = Printf.sprintf "%s: %d" rule p.offset in
    Alcotest.(check bool) text true (p.from = min_int && p.until = max_int);
    Alcotest.(check int) rule (3600 * hours) p.offset
  in
  constant "EST5EDT,0/0,J365/25" (-4);
  constant "XXX3EDT4,0/0,J365/23" (-4);
  constant "AAA3BBB,0/0,J365/26" (-2);
  constant "AAA3BBB,J365/24,0/1" (-3);
  (* A day of standard time, in leap years. *)
  let zone = Zone.of_posix "AAA3BBB,0/0,365/2" in
  let p = Zone.period zone 1_800_000_000 in
  Alcotest.(check int) "from" 1_735_700_400 p.from;
  Alcotest.(check int) "until" 1_861_848_000 p.until

(* As the rule of a file, which counts after its last change. *)
let permanent_footer () =
  let data = read "/usr/share/zoneinfo/Europe/Berlin" in
  let footer = String.rindex_from data (String.length data - 2) '\n' in
  let zone = Zone.of_tzif (String.sub data 0 (footer + 1) ^ "EST5EDT,0/0,J365/25\n") in
  let p = Zone.period zone 4_000_000_000 in
  Alcotest.(check int) "offset" (-14_400) p.offset;
  Alcotest.(check bool) "from the last change" true (p.from > 0 && p.from < 4_000_000_000);
  Alcotest.(check int) "for ever" max_int p.until

let fails part f =
  match f () with
  | _ -> Alcotest.failf "not refused: %s" part
  | exception Soil.Error e ->
      let text = Soil.Error.to_string e in
      let n = String.length part in
      let rec at i = i + n <= String.length text && (String.sub text i n = part || at (i + 1)) in
      if not (at 0) then Alcotest.failf "%S lacks %S" text part

let damaged data =
  match Zone.of_tzif data with
  | zone ->
      ignore (Zone.offset zone 1e9);
      true
  | exception Soil.Error { code = Bad_configuration; _ } -> true

let any_damage =
  let open QCheck2.Gen in
  let data = read "/usr/share/zoneinfo/Europe/Berlin" in
  let n = String.length data in
  let change =
    let* i = int_bound (n - 1) in
    let* c = char in
    return (String.mapi (fun j old -> if i = j then c else old) data)
  in
  oneof [ map (String.sub data 0) (int_bound n); change ]

(* Expressions *)

let minute_matches cron local =
  let minute = Zone.floor_div local 60 in
  Cron.first cron ~from:(minute * 60) ~until:((minute * 60) + 1) <> None

(* Vixie cron's rules, minute by minute from three days before [after] on: [shown] is the latest
   local time that clocks have had. *)
let reference zone cron ~after ~until =
  let p = ref (Zone.period zone after) in
  let at t =
    if t < !p.from || t >= !p.until then p := Zone.period zone t;
    t + !p.offset
  in
  let rec search shown t found =
    if t > until then List.rev found
    else
      let local = at t in
      let is_due =
        if cron.Cron.is_frequent then minute_matches cron local
        else local > shown && Cron.first cron ~from:(shown + 60) ~until:(local + 1) <> None
      in
      search (max shown local) (t + 60) (if is_due && t > after then t :: found else found)
  in
  let start = after - (3 * 86_400) in
  search (at (start - 60)) start []

let any_field low high =
  let open QCheck2.Gen in
  let value = int_range low high in
  let range = map2 (fun a b -> Printf.sprintf "%d-%d" (min a b) (max a b)) value value in
  let step base = map2 (Printf.sprintf "%s/%d") base (int_range 1 9) in
  let item = oneof [ map string_of_int value; range; step range; step (return "*") ] in
  frequency
    [ (3, return "*"); (2, item); (1, map (String.concat ",") (list_size (int_range 1 3) item)) ]

let any_cron =
  let open QCheck2.Gen in
  let star = frequency [ (3, return "*"); (1, any_field 1 12) ] in
  let* minutes = any_field 0 59 in
  let* hours = oneof [ any_field 0 23; any_field 0 4 ] in
  let* days = oneof [ return "*"; any_field 1 28 ] in
  let* weekdays = oneof [ return "*"; any_field 0 7 ] in
  map (fun months -> String.concat " " [ minutes; hours; days; months; weekdays ]) star

(* Whole minutes on both sides of a change in this century. *)
let any_due_in zones =
  let open QCheck2.Gen in
  let* name, zone = zones in
  let* time = int_range 950_000_000 4_000_000_000 in
  let p = Zone.period zone time in
  let edge = if p.from > 946_684_800 then p.from else time in
  let* hours = int_range (-30) 6 in
  map (fun text -> (name, zone, (edge / 60 * 60) + (hours * 3600), text)) any_cron

let any_due =
  let ruled = QCheck2.Gen.map (fun rule -> (rule, Zone.of_posix rule)) any_rule in
  QCheck2.Gen.oneof [ any_due_in any_zone; any_due_in ruled ]

(* Two changes within hours, in either order: some of the skipped times have been before. *)
let any_short =
  let open QCheck2.Gen in
  let* day = int_range 2 364 and* shift = int_range 1 3 and* standard = int_range (-12) 12 in
  let* stop = int_range 0 300 and* year = int_range 0 60 in
  let change minutes = Printf.sprintf "J%d/%d:%02d" day (minutes / 60) (minutes mod 60) in
  let summer = standard - shift in
  let rule = Printf.sprintf "AAA%dBBB%d,%s,%s" standard summer (change 120) (change stop) in
  let after = ((Zone.new_year (1990 + year) + day - 2) * 86_400) + (standard * 3600) in
  let* minute = int_range 0 59 and* hour = int_range 0 6 in
  return (rule, Zone.of_posix rule, after, Printf.sprintf "%d %d * * *" minute hour)

let print_due (name, _, after, text) = Printf.sprintf "%s after %d: %s" name after text

let due (_, zone, after, text) =
  let cron = Cron.of_string text in
  let until = after + (2 * 86_400) in
  let rec all after =
    match Cron.next zone cron ~after:(float after) with
    | Some at when int_of_float at <= until -> int_of_float at :: all (int_of_float at)
    | Some _ | None -> []
  in
  all after = reference zone cron ~after ~until

let as_a_search name generator =
  let cell = QCheck2.Test.make ~count:500 ~print:print_due ~name generator due in
  test name (fun () -> QCheck2.Test.check_exn cell)

let days_or () =
  let next text after = Option.get (S.next (S.cron text) ~after) in
  let equal = Alcotest.(check (float 0.)) in
  (* 2000-01-01 was a Saturday. *)
  let start = 946_684_800. in
  let day n = start +. (86_400. *. float n) in
  equal "the 13th or a Friday" (day 6) (next "0 0 13 * fri" start);
  equal "a Friday before it" (day 12) (next "0 0 13 * fri" (day 6));
  equal "both" (day 20) (next "0 0 */10 * fri" start);
  equal "7 is Sunday" (day 1) (next "0 0 * * 7" start);
  equal "Friday to Sunday" (day 1) (next "0 0 * * fri-sun" start);
  equal "a leap day" 951_782_400. (next "0 0 29 feb *" start);
  equal "daily" (day 1) (next "@daily" start)

let refusals () =
  let refused text part = fails part (fun () -> S.cron text) in
  refused "60 * * * *" "minute \"60\": write a number from 0 to 59";
  refused "0 24 * * *" "hour";
  refused "0 0 0 * *" "day of the month";
  refused "0 0 1 foo *" "month \"foo\": write a number from 1 to 12, or a name such as jan";
  refused "0 0 * * 8" "day of the week";
  refused "30-20 * * * *" "write 30-59,0-20";
  refused "5/10 * * * *" "a step needs a range: write 5-59/";
  refused "*/0 * * * *" "at least 1";
  refused "* * * *" "it has 4 fields";
  refused "" "it has 0 fields";
  refused "@often" "unknown name";
  refused "@reboot" "at the program's start";
  refused "0 0 31 2 *" "no date has";
  refused (String.make 2000 '*') "longer than 1000";
  fails "has no name" (fun () -> Zone.of_posix "");
  fails "lacks a rule" (fun () -> Zone.of_posix "EST5EDT");
  fails "it isn't a name" (fun () -> Zone.load ~folder:"/zoneinfo" "../secret");
  fails "embed its file" (fun () -> Zone.load ~folder:"/zoneinfo" "Mars/Base")

(* Runs *)

exception End

(* What runs on a clock: [steps] are wakes at which it moves, with seconds. *)
let runs ?(missed = Loop.Once) ?(back = 10_800.) ?(takes = fun _ -> 0.) ?last ~from ~until steps
    text =
  let last = Option.value last ~default:from in
  let cron = Cron.of_string text in
  let now = ref from and wakes = ref 0 and found = ref [] in
  let sleep seconds =
    incr wakes;
    if !now > until || !wakes > 10_000 then raise End;
    now := !now +. seconds +. Option.value (List.assoc_opt !wakes steps) ~default:0.
  in
  let f due =
    found := int_of_float due :: !found;
    now := !now +. takes due
  in
  let next after = Cron.next Zone.utc cron ~after in
  let loop =
    {
      Loop.now = (fun () -> !now);
      sleep;
      next;
      grain = 60.;
      late = 60.;
      back;
      missed;
      delay = (fun () -> 0.);
    }
  in
  match Loop.run ~last ~f loop with () -> assert false | exception End -> List.rev !found

let ints = Alcotest.(check (list int))

let missed () =
  let hours = List.map (fun n -> 3600 * n) in
  let late due = if due = 3600. then 10_000. else 0. in
  let run missed = runs ~missed ~takes:late ~from:0. ~until:18_000. [] "0 * * * *" in
  ints "skip" (hours [ 1; 4; 5 ]) (run Skip);
  ints "once" (hours [ 1; 3; 4; 5 ]) (run Once);
  ints "each" (hours [ 1; 2; 3; 4; 5 ]) (run (Each 10));
  ints "the last of them" (hours [ 1; 3; 4; 5 ]) (run (Each 1));
  let year = 31_536_000. in
  let each = runs ~missed:(Each 3) ~from:0. ~until:(year +. 1.) [ (1, year -. 60.) ] "* * * * *" in
  ints "at most three" [ 31_535_880; 31_535_940; 31_536_000 ] each

let steps () =
  let daily steps = runs ~from:86_400. ~until:176_400. steps "0 1 * * *" in
  ints "back by an hour" [ 90_000; 176_400 ] (daily [ (61, -3600.) ]);
  ints "back by four hours" [ 90_000; 90_000; 176_400 ] (daily [ (61, -14_400.) ]);
  ints "forward" [ 90_000; 176_400 ] (daily [ (1, 7000.) ]);
  ints "a last run of a wrong clock" [ 90_000; 176_400 ]
    (runs ~last:3e9 ~from:86_400. ~until:176_400. [] "0 1 * * *");
  let frequent step = runs ~back:60. ~from:0. ~until:240. [ step ] "* * * * *" in
  ints "frequent, by a minute" [ 60; 120; 180; 240 ] (frequent (5, -61.));
  ints "frequent, by two minutes" [ 60; 120; 180; 120; 180; 240 ] (frequent (7, -121.))

let intervals () =
  Soil.Virtual_clock.run @@ fun () ->
  let start = Soil.Clock.monotonic () and found = ref [] in
  let work () =
    found := Float.to_int (Float.round (Soil.Clock.monotonic () -. start)) :: !found;
    if List.length !found = 2 then Soil.Clock.sleep 27.
  in
  ignore (Soil.Task.timeout_opt 65. (fun () -> S.every 10. work));
  ints "multiples" [ 10; 20; 50; 60 ] (List.rev !found);
  let found = ref 0 in
  let count _ = incr found in
  let minutely = S.cron "* * * * *" in
  ignore (Soil.Task.timeout_opt 3601. (fun () -> S.run ~jitter:5. minutely count));
  Alcotest.(check bool) "with jitter" true (!found >= 59 && !found <= 61)

let () =
  Alcotest.run "soil-work.schedule"
    [
      ( "zones",
        [
          property ~count:2000 "as Linux's" any_zoned offsets;
          property "damaged data" any_damage damaged;
          property ~count:1000 "rules as Linux's" any_plain plain_offsets;
          property ~count:1000 "periods of rules"
            QCheck2.Gen.(pair any_rule (int_range 0 13_569_000_000))
            periods;
          test "permanent" permanent;
          test "permanent, in a file" permanent_footer;
        ] );
      ( "expressions",
        [
          test "days" days_or;
          test "refusals" refusals;
          as_a_search "as a search" any_due;
          as_a_search "as a search, in short periods" any_short;
        ] );
      ("runs", [ test "missed" missed; test "steps" steps; test "intervals" intervals ]);
    ]
