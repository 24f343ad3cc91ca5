module Zone = Zone

type t = { cron : Cron.t; zone : Zone.t }
type missed = Loop.missed = Skip | Once | Each of int

let cron ?(zone = Zone.utc) text = { cron = Cron.of_string text; zone }
let next t ~after = Cron.next t.zone t.cron ~after

let check operation missed jitter =
  (match missed with
  | Each n when n < 1 -> invalid_arg (operation ^ ": fewer than 1 missed run")
  | Skip | Once | Each _ -> ());
  if not (jitter >= 0. && jitter < infinity) then invalid_arg (operation ^ ": a wrong jitter")

let delay jitter () =
  if jitter = 0. then 0. else jitter *. (float (Soil.Random.int 1_000_000) /. 1e6)

let run ?since ?(missed = Once) ?(jitter = 0.) t f =
  check "Soil_schedule.run" missed jitter;
  let last = match since with Some time -> time | None -> Soil.Clock.now () in
  let back = if Cron.is_frequent t.cron then 60. else 10_800. in
  Loop.run ~last ~f
    {
      now = Soil.Clock.now;
      sleep = Soil.Clock.sleep;
      next = (fun after -> next t ~after);
      grain = 60.;
      late = 60.;
      back;
      missed;
      delay = delay jitter;
    }

let every ?(missed = Skip) ?(jitter = 0.) seconds f =
  let operation = "Soil_schedule.every" in
  check operation missed jitter;
  if not (seconds >= 0.001 && seconds < infinity) then
    invalid_arg (operation ^ ": the interval isn't at least a millisecond");
  let start = Soil.Clock.monotonic () in
  let time n = start +. (n *. seconds) in
  let next after =
    let n = Float.floor ((after -. start) /. seconds) in
    (* Unless rounding has led to the time itself. *)
    Some (if time (n +. 1.) > after then time (n +. 1.) else time (n +. 2.))
  in
  Loop.run ~last:start
    ~f:(fun _ -> f ())
    {
      now = Soil.Clock.monotonic;
      sleep = Soil.Clock.sleep;
      next;
      grain = seconds;
      late = seconds /. 2.;
      back = infinity;
      missed;
      delay = delay jitter;
    }
