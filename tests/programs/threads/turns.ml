(* How long a thread that computes goes on after it has posted to the tasks' inbox, in its own steps,
   compared with OCaml's time slice for a thread. Argument: the number of such threads. *)

let posts = 101
let slice = 0.05

(* Processor time: neither a step nor a second passes while the host runs something else. *)
let steps_of_slice () =
  let steps = ref 0 and begun = Sys.time () in
  while Sys.time () -. begun < 4. *. slice do
    for _ = 1 to 1000 do
      steps := Sys.opaque_identity (!steps + 1)
    done
  done;
  !steps / 4

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
      for _ = 1 to 1000 do
        steps := Sys.opaque_identity (!steps + 1)
      done
    done
  in
  let tasks =
    List.init number (fun _ -> Soil.Task.spawn scope (fun () -> Soil_threads.blocking compute))
  in
  List.iter Soil.Task.await tasks;
  let median = List.nth (List.sort compare !delays) (posts / 2) in
  if median < whole / 4 then print_endline "the tasks come first"
  else Printf.printf "the tasks wait for %d steps, and a slice has %d\n" median whole
