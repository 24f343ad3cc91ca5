(* How long a thread that computes goes on after it has posted to the tasks' inbox, in its own steps,
   compared with OCaml's time slice for a thread. Argument: the number of such threads. *)

let posts = 101
let slice = 0.05

(* The most of several measurements: a machine that is in use by others stops for some. *)
let steps_of_slice () =
  let parts = 25 in
  let part = slice /. float_of_int parts in
  let steps_of_part _ =
    let steps = ref 0 and begun = Sys.time () in
    while Sys.time () -. begun < part do
      for _ = 1 to 1000 do
        steps := Sys.opaque_identity (!steps + 1)
      done
    done;
    !steps
  in
  parts * List.fold_left max 0 (List.init (4 * parts) steps_of_part)

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
  (* An image's kernel lets the tasks' thread run after 1 ms at most. *)
  if median < whole / 16 then print_endline "the tasks come first"
  else Printf.printf "the tasks wait for %d steps, and a slice has %d\n" median whole
