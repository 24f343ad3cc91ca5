(* OCaml's own events, read by the program that they are about. *)

let () =
  Runtime_events.start ();
  let cursor = Runtime_events.create_cursor None in
  let begun = ref 0 and ended = ref 0 and lost = ref 0 in
  let count counter _ _ phase = if phase = Runtime_events.EV_MINOR then incr counter in
  let callbacks =
    Runtime_events.Callbacks.create ~runtime_begin:(count begun) ~runtime_end:(count ended)
      ~lost_events:(fun _ n -> lost := !lost + n)
      ()
  in
  for round = 1 to 3 do
    for _ = 1 to 5 do
      Gc.minor ()
    done;
    ignore (Runtime_events.read_poll cursor callbacks None);
    Printf.printf "round %d: at least %d: %b, each ends: %b, lost: %d\n" round (5 * round)
      (!begun >= 5 * round)
      (!begun = !ended) !lost
  done;
  Runtime_events.pause ();
  let before = !begun in
  Gc.minor ();
  ignore (Runtime_events.read_poll cursor callbacks None);
  Printf.printf "paused: %d more\n" (!begun - before);
  Runtime_events.free_cursor cursor;
  Printf.printf "the parameters are as they were: %b\n"
    (Sys.getenv_opt "OCAMLRUNPARAM" = Sys.getenv_opt "GIVEN")
