(* HTTP on port 8000 beside jobs that never yield. Arguments: pool, domains or blocking, and their
   number. Those in domains allocate all the time; the last one raises an exception at /fail. *)

module Server = Soil_http.Server

let stopped = Atomic.make false
let fails = Atomic.make false

(* Ends at /stop only; it takes memory now and then. *)
let compute steps =
  incr steps;
  while not (Atomic.get stopped) do
    incr steps;
    if !steps land 1023 = 0 then ignore (Sys.opaque_identity (List.init 10 Fun.id))
  done

exception Failed

(* The same, with collections in all domains together. *)
let allocate ~last steps =
  let table = Hashtbl.create 100 in
  while not (Atomic.get stopped) do
    if last && Atomic.get fails then raise Failed;
    incr steps;
    Hashtbl.replace table (!steps mod 1000) (String.make (!steps mod 300) ' ')
  done

let () =
  let number = int_of_string Sys.argv.(2) in
  Soil.run @@ fun () ->
  Soil.Task.scope @@ fun scope ->
  let run =
    match Sys.argv.(1) with
    | "pool" | "domains" ->
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
    | "/fail" ->
        Atomic.set fails true;
        Server.string "fails"
    | "/stop" ->
        Atomic.set stopped true;
        Server.string "stopped"
    | path -> Server.string path
  in
  let server = Soil.Task.spawn scope (fun () -> Server.serve listener answer) in
  Soil.Net.wait_up ();
  print_endline "ready";
  let failed = ref 0 in
  let job number_of_job steps () =
    match Sys.argv.(1) with
    | "domains" -> (
        let last = number_of_job = number - 1 in
        try run (fun () -> allocate ~last steps) with Failed -> incr failed)
    | _ -> run (fun () -> compute steps)
  in
  let tasks = Array.mapi (fun n steps -> Soil.Task.spawn scope (job n steps)) steps in
  Array.iter Soil.Task.await tasks;
  Printf.printf "%d jobs ended, %d had begun, %d failed\n%!" number (begun ()) !failed;
  Soil.Task.cancel server
