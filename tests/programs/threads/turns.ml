(* How long a thread that computes goes on after it has posted to the tasks' inbox, in its own steps,
   compared with OCaml's time slice for a thread. Argument: the number of such threads. *)

let posts = 101
let slice = 0.05

(* The same code where steps are timed and where they are counted. *)
let[@inline never] compute_some steps =
  for _ = 1 to 1000 do
    steps := Sys.opaque_identity (!steps + 1)
  done

(* By the shortest of many measurements, each far longer than a look at the clock: a machine that is
   in use by others stops for some. *)
let steps_of_slice () =
  let steps = ref 0 in
  let measure _ =
    let begun = Sys.time () in
    for _ = 1 to 100 do
      compute_some steps
    done;
    Sys.time () -. begun
  in
  let shortest = List.fold_left Float.min infinity (List.init 100 measure) in
  int_of_float (slice /. shortest *. 100_000.)

let () =
  let number = int_of_string Sys.argv.(1) in
  Soil.run @@ fun () ->
  let whole = steps_of_slice () in
  let delays = ref [] in
  Soil.Task.scope @@ fun scope ->
  let inbox = Soil.Inbox.create scope in
  let enough () = List.length !delays >= posts in
  let compute () =
    let steps = ref 0 and posted = ref false in
    while not (enough ()) do
      if not !posted then (
        posted := true;
        let at = !steps in
        Soil.Inbox.post inbox (fun () ->
            delays := (!steps - at) :: !delays;
            posted := false));
      compute_some steps
    done
  in
  let tasks =
    List.init number (fun _ -> Soil.Task.spawn scope (fun () -> Soil_threads.blocking compute))
  in
  List.iter Soil.Task.await tasks;
  let median = List.nth (List.sort compare !delays) (posts / 2) in
  (* An image's kernel lets the tasks' thread run after 1 ms, or 0.02 slices, at most. The timer of a
     busy host is late by several. *)
  if median < whole / 4 then print_endline "the tasks come first"
  else Printf.printf "the tasks wait for %d steps, and a slice has %d\n" median whole
