(* 200 tasks with 10 connections to PostgreSQL, which restarts meanwhile: ADDRESS PORT. Each task
   inserts rows of its own, and repeats what has failed. *)

module Pool = Soil_resource_pool

let task_count = 200
let steps = 10

let limits =
  {
    Pool.default_limits with
    max_open = 10;
    attempts = max_int;
    wait_seconds = infinity;
    check_seconds = 0.5;
    backoff = { first = 0.05; most = 2.; jitter = 0.5 };
  }

let query = "insert into steps values ($1, $2)"

let connect () =
  let c =
    Database.connect ~host:Sys.argv.(1)
      ~port:(int_of_string Sys.argv.(2))
      ~user:"soil" ~database:"postgres" ()
  in
  Database.prepare c ~name:"add" ~query ();
  c

(* An error of a statement leaves the connection usable; the server's end comes as one, too. *)
let keep = function
  | Database.PostgreSQL_Error (_, fields) -> List.assoc_opt 'S' fields = Some "ERROR"
  | _ -> false

let is_there = function
  | Database.PostgreSQL_Error (_, fields) -> List.assoc_opt 'C' fields = Some "23505"
  | _ -> false

let rec add pool task step =
  let params = [ Some (string_of_int task); Some (string_of_int step) ] in
  match Pool.use pool (fun c -> Database.execute c ~name:"add" ~params ()) with
  | _ -> ()
  | exception e when is_there e -> ()
  | exception (End_of_file | Soil.Error _ | Database.PostgreSQL_Error _ | Database.Error _) ->
      (* A lost connection, or one that failed in the middle of an answer. *)
      add pool task step

let one pool query =
  match Pool.use pool (fun c -> Database.inject c query) with
  | [ [ Some value ] ] -> value
  | rows -> Printf.sprintf "%d rows" (List.length rows)

let () =
  Soil.run @@ fun () ->
  Soil.Task.scope @@ fun scope ->
  let create =
    "create table if not exists steps (task integer, step integer, primary key (task, step))"
  in
  Pool.use
    (Pool.create scope "tables" ~close:Database.close (fun () ->
         Database.connect ~host:Sys.argv.(1)
           ~port:(int_of_string Sys.argv.(2))
           ~user:"soil" ~database:"postgres" ()))
    (fun c -> ignore (Database.inject c create));
  let pool =
    Pool.create ~limits ~keep scope "postgresql" ~is_healthy:Database.alive ~close:Database.close
      connect
  in
  let inserted = ref 0 and most = ref 0 and half = ref 0 in
  let step task number =
    add pool task number;
    incr inserted;
    let s = Pool.statistics pool in
    most := max !most (s.in_use + s.idle + s.opening + s.closing)
  in
  (* Until the server was seen down. *)
  let rec until_failure task number =
    if (Pool.statistics pool).failed > 0 then number
    else (
      step task number;
      until_failure task (number + 1))
  in
  let work task =
    if task mod 20 = 0 then
      ignore
        (Soil.Task.timeout_opt 0.5 (fun () ->
             Pool.use pool (fun c -> Database.inject c "select pg_sleep(60)")));
    for number = 1 to steps do
      step task number
    done;
    incr half;
    if !half = task_count then print_endline "half";
    let number = until_failure task (steps + 1) in
    for number = number to number + steps - 1 do
      step task number
    done
  in
  Soil.Task.iter work (List.init task_count Fun.id);
  let count = int_of_string (one pool "select count(*) from steps") in
  let s = Pool.statistics pool in
  Printf.printf "every row: %b\nat most %d connections\n" (count = !inserted) !most;
  Printf.printf "interrupted: %b\n" (List.assoc Pool.Interrupted s.closed >= 10);
  Printf.printf "fewer attempts than tasks: %b\n" (s.failed > 0 && s.failed < task_count);
  Printf.printf "in use: %d, waiting: %d\n%!" s.in_use s.waiting
