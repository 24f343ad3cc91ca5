(* A queue of soil-work.jobs in PostgreSQL: ADDRESS PORT. Its 100 jobs insert a row each. The test kills
   the first run; the next one enqueues the same jobs and ends with the last row. *)

module Pool = Soil_resource_pool

let job_count = 100

let tables =
  [
    "create table if not exists jobs (name text primary key, record bytea not null)";
    "create table if not exists effects (id text primary key)";
  ]

let connect () =
  Database.connect ~host:Sys.argv.(1)
    ~port:(int_of_string Sys.argv.(2))
    ~user:"soil" ~database:"postgres" ()

let keep = function
  | Database.PostgreSQL_Error (_, fields) -> List.assoc_opt 'S' fields = Some "ERROR"
  | _ -> false

(* A store raises [Soil.Error]. *)
let execute pool query params =
  let run c =
    Database.prepare c ~query ();
    Database.execute c ~params:(List.map Option.some params) ()
  in
  try Pool.use pool run
  with (End_of_file | Database.PostgreSQL_Error _ | Database.Error _) as e ->
    Soil.Error.fail Io "PostgreSQL" ~detail:(Printexc.to_string e)

let store pool =
  let column = function
    | [ Some text ] -> text
    | _ -> Soil.Error.fail Corrupt "PostgreSQL" ~detail:"a row without its column"
  in
  {
    Soil_jobs.set =
      (fun name record ->
        let query =
          "insert into jobs values ($1, $2) on conflict (name) do update set record = $2"
        in
        ignore (execute pool query [ name; Database.string_of_bytea record ]));
    remove = (fun name -> ignore (execute pool "delete from jobs where name = $1" [ name ]));
    get =
      (fun name ->
        match execute pool "select record from jobs where name = $1" [ name ] with
        | [ row ] -> Database.bytea_of_string (column row)
        | _ -> Soil.Error.fail Not_found "PostgreSQL" ~subject:name);
    list = (fun () -> List.map column (execute pool "select name from jobs" []));
  }

let () =
  Soil.run @@ fun () ->
  Soil.Task.scope @@ fun scope ->
  let pool =
    Pool.create ~keep scope "postgresql" ~is_healthy:Database.alive ~close:Database.close connect
  in
  Pool.use pool (fun c -> List.iter (fun table -> ignore (Database.inject c table)) tables);
  let limits =
    { Soil_jobs.default_limits with backoff = { first = 0.05; most = 1.; jitter = 0.5 } }
  in
  let jobs = Soil_jobs.load ~limits (store pool) in
  let names = List.init job_count (Printf.sprintf "%03d") in
  List.iter (fun name -> ignore (Soil_jobs.enqueue ~key:name jobs name)) names;
  print_endline "enqueued";
  (* Each third job fails once. *)
  let failed = Hashtbl.create 50 and performed = ref 0 in
  let perform (job : Soil_jobs.job) =
    if int_of_string job.payload mod 3 = 0 && not (Hashtbl.mem failed job.id) then (
      Hashtbl.replace failed job.id ();
      failwith "once");
    let add = "insert into effects values ($1) on conflict do nothing" in
    ignore (execute pool add [ job.payload ]);
    incr performed;
    if !performed = job_count / 2 then print_endline "half";
    Soil.Clock.sleep 0.02
  in
  let rec until_done () =
    let s = Soil_jobs.statistics jobs in
    if s.queued + s.delayed + s.running > 0 then (
      Soil.Clock.sleep 0.05;
      until_done ())
    else Printf.printf "keys: %d, dead: %d\n" s.keys s.dead
  in
  Soil.Task.first [ (fun () -> Soil_jobs.work jobs perform); until_done ];
  let count =
    match execute pool "select count(*) from effects" [] with
    | [ [ Some count ] ] -> count
    | _ -> "unknown"
  in
  Printf.printf "effects: %s\n%!" count
