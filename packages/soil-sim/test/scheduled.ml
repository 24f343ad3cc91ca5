(* [Soil_schedule] with the last time in a store: each minute counts once or, after a crash, twice, in
   order, with crashes, pauses and steps of the clock. *)

module Faults = Soil_sim.Faults
module Key = Soil.Kv.Key

let second = Soil_sim.seconds 1.
let last = Key.v "last"

let ok = function
  | Ok v -> v
  | Error e -> Soil.Error.fail Io "schedule" ~detail:(Soil.Kv.error_to_string e)

let service () =
  let store = ok (Soil.Kv.connect "/data/schedule") in
  let keep time = ok (Soil.Kv.set store last (Printf.sprintf "%.0f" time)) in
  let since =
    match Soil.Kv.get store last with
    | Error (`Not_found _) ->
        let now = Float.floor (Soil.Clock.now ()) in
        keep now;
        now
    | found -> float_of_string (ok found)
  in
  (* Without a leading [*]: steps back of up to 3 hours repeat nothing. *)
  let each_minute = Soil_schedule.cron "0-59 0-23 * * *" in
  let run () =
    Soil_schedule.run ~since ~missed:(Each 1000) ~jitter:1. each_minute (fun due ->
        Printf.printf "due %.0f\n%!" due;
        Soil.Clock.sleep (float (Soil.Random.int 10));
        keep due;
        Printf.printf "kept %.0f\n%!" due)
  in
  let tell () = Printf.printf "now %.0f\n%!" (Soil.Clock.now ()) in
  Soil.Task.first [ run; (fun () -> Soil_schedule.every 5. tell) ]

let () =
  Soil_sim.main ~duration:(600 * second) ~calm:(130 * second) @@ fun world ->
  let disks = [ ("data", Soil_sim.Ext4 (Soil_sim.mib 16)) ] in
  let at_exit = Soil_sim.Restarts second in
  let node = Soil_sim.task world ~name:"service" ~disks ~at_exit service in
  let every seconds ?lasting fault =
    Soil_sim.every world
      ?lasting:(Option.map Soil_sim.seconds lasting)
      (Soil_sim.seconds seconds) fault
  in
  every 60. ~lasting:30. (Faults.power_cut [ node ]);
  every 60. ~lasting:30. (Faults.kill_during [ node ]);
  every 100. ~lasting:60. (Faults.pause [ node ]);
  every 100. ~lasting:60. (Faults.clock_step ~most:100. [ node ]);
  every 100. ~lasting:60. (Faults.clock_drift [ node ]);
  (* The last minute, and whether the node has said that it is in the store. A crash may come
     between the write and that line. *)
  let last = ref None and repeats = ref 0 and now = ref 0. in
  let due time =
    (match !last with
    | Some (before, _) when time = before +. 60. -> ()
    | Some (before, false) when time = before -> incr repeats
    | Some _ -> Soil_sim.fail "order" "a minute is missing, or comes again"
    | None -> ());
    last := Some (time, false)
  in
  Soil_sim.on_line node (fun text ->
      match String.split_on_char ' ' text with
      | [ "due"; time ] -> due (float_of_string time)
      | [ "kept"; time ] -> last := Some (float_of_string time, true)
      | [ "now"; time ] -> now := float_of_string time
      | _ -> ());
  Soil_sim.sometimes world "a minute comes twice" (fun () -> !repeats > 0);
  Soil_sim.finally world (fun () ->
      match !last with
      | Some (time, _) when time >= !now -. 110. -> ()
      | Some _ | None -> Soil_sim.fail "progress" "the last minute is too long ago")
