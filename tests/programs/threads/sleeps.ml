(* Threads that sleep by `select` and `poll` without a descriptor wait for no device: none of them
   becomes the thread that polls the devices for all. Soil counts the sleeps of that one. *)

external sleep_by : int -> bool = "sleep_by"

let ways = 6
let rounds = 20
let count () = Option.get (Soil.Machine.counter "sleeps")

let work () =
  for _ = 1 to rounds do
    for way = 0 to ways - 1 do
      if not (sleep_by way) then Printf.printf "way %d failed\n%!" way
    done;
    if Unix.select [] [] [] 0.001 <> ([], [], []) then print_endline "select failed"
  done

let () =
  let before = count () in
  let began = Unix.gettimeofday () in
  (* OCaml's tick thread, which sleeps so, begins with the first of them. *)
  List.iter Thread.join (List.init 4 (fun _ -> Thread.create work ()));
  let least = float_of_int (rounds * (ways + 1)) *. 0.001 in
  if Unix.gettimeofday () -. began < least then print_endline "a sleep was too short";
  let between = count () in
  Soil.run (fun () -> Soil.Clock.sleep 0.2);
  Printf.printf "waits for devices: %d in threads, %s in a task\n" (between - before)
    (if count () > between then "some" else "none")
