(* Forks while the network is looked after beside the program: in each child the runtime is free,
   and the parent goes on. *)
let spin seconds =
  let until = Unix.gettimeofday () +. seconds in
  while Unix.gettimeofday () < until do
    ()
  done

let () =
  Soil.run @@ fun () ->
  Soil.Net.wait_up ();
  print_endline "ready";
  let children = 300 and free = ref 0 in
  for i = 1 to children do
    (* Somewhere within a tick, and at times in the middle of a look. *)
    spin (0.004 +. (float (i mod 50) *. 0.00005));
    match Unix.fork () with
    | 0 ->
        let status = if Soil.Machine.counter "connections" = Some 0 then 0 else 1 in
        (* An ordinary exit looks after the devices once more, which are the parent's. *)
        if i mod 2 = 0 then exit status else Unix._exit status
    | child -> if snd (Unix.waitpid [] child) = Unix.WEXITED 0 then incr free
  done;
  Printf.printf "free in %d of %d children\n" !free children
