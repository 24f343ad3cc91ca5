(* A thousand sleeping tasks take as long as the longest, and wake in order. *)
let () =
  Soil.run @@ fun () ->
  let before = Soil.Clock.monotonic () in
  let woken = ref [] in
  Soil.Task.iter
    (fun i ->
      Soil.Clock.sleep (float i *. 0.0005);
      woken := i :: !woken)
    (List.init 1000 Fun.id);
  let took = Soil.Clock.monotonic () -. before in
  let order = List.rev !woken in
  Printf.printf "in order: %b\n" (order = List.sort compare order);
  Printf.printf "all of them: %d, took 0.5 s: %b\n" (List.length order) (took >= 0.499 && took < 30.);
  (* However long the program is kept from running between two of them. *)
  let before = Unix.gettimeofday () in
  let now = Soil.Clock.now () in
  let after = Unix.gettimeofday () in
  Printf.printf "one wall clock: %b\n" (before -. 0.01 <= now && now <= after +. 0.01)
