(* HTTP on port 8000 beside jobs that never yield. Arguments: pool or blocking, and their number. *)

module Server = Soil_http.Server

let stopped = Atomic.make false

(* Ends at /stop only; it takes memory now and then. *)
let compute steps =
  incr steps;
  while not (Atomic.get stopped) do
    incr steps;
    if !steps land 1023 = 0 then ignore (Sys.opaque_identity (List.init 10 Fun.id))
  done

let () =
  let number = int_of_string Sys.argv.(2) in
  Soil.run @@ fun () ->
  Soil.Task.scope @@ fun scope ->
  let run =
    match Sys.argv.(1) with
    | "pool" ->
        let pool = Soil_pool.create ~workers:number ~capacity:number scope in
        Soil_pool.submit pool
    | _ -> Soil_threads.blocking
  in
  let steps = Array.init number (fun _ -> ref 0) in
  let begun () = Array.fold_left (fun n steps -> if !steps > 0 then n + 1 else n) 0 steps in
  let listener = Soil.Tcp.listen ~port:8000 () in
  let answer request =
    match Server.path request with
    | "/begun" -> Server.string (string_of_int (begun ()))
    | "/steps" -> Server.string (string_of_int (Array.fold_left (fun n s -> n + !s) 0 steps))
    | "/stop" ->
        Atomic.set stopped true;
        Server.string "stopped"
    | path -> Server.string path
  in
  let server = Soil.Task.spawn scope (fun () -> Server.serve listener answer) in
  Soil.Net.wait_up ();
  print_endline "ready";
  let tasks =
    Array.map (fun steps -> Soil.Task.spawn scope (fun () -> run (fun () -> compute steps))) steps
  in
  Array.iter Soil.Task.await tasks;
  Printf.printf "%d jobs ended, %d had begun\n%!" number (begun ());
  Soil.Task.cancel server
