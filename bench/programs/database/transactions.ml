(* pgbench's transactions by PG'OCaml through a pool: ADDRESS PORT CONNECTIONS TASKS SECONDS SCALE
   select|tpcb. Statements are prepared, as with `pgbench -M prepared`. *)

module Pool = Soil_resource_pool

let number index = int_of_string Sys.argv.(index)
let address = Sys.argv.(1)
let port = number 2
let connections = number 3
let tasks = number 4
let seconds = float_of_string Sys.argv.(5)
let scale = number 6
let is_select = Sys.argv.(7) = "select"

let statements =
  [
    ("begin", "begin");
    ("accounts", "update pgbench_accounts set abalance = abalance + $1 where aid = $2");
    ("balance", "select abalance from pgbench_accounts where aid = $1");
    ("tellers", "update pgbench_tellers set tbalance = tbalance + $1 where tid = $2");
    ("branches", "update pgbench_branches set bbalance = bbalance + $1 where bid = $2");
    ( "history",
      "insert into pgbench_history (tid, bid, aid, delta, mtime) values ($1, $2, $3, $4, \
       current_timestamp)" );
    ("end", "end");
  ]

let connect () =
  let c = Database.connect ~host:address ~port ~user:"soil" ~database:"postgres" () in
  List.iter (fun (name, query) -> Database.prepare c ~name ~query ()) statements;
  c

let execute c name params =
  let params = List.map (fun n -> Some (string_of_int n)) params in
  ignore (Database.execute c ~name ~params ())

let random n = 1 + Random.int n

let transaction c =
  let aid = random (100_000 * scale) in
  if is_select then execute c "balance" [ aid ]
  else
    let tid = random (10 * scale) and bid = random scale and delta = random 10_001 - 5_001 in
    execute c "begin" [];
    execute c "accounts" [ delta; aid ];
    execute c "balance" [ aid ];
    execute c "tellers" [ delta; tid ];
    execute c "branches" [ delta; bid ];
    execute c "history" [ tid; bid; aid; delta ];
    execute c "end" []

let () =
  Soil.run @@ fun () ->
  Soil.Task.scope @@ fun scope ->
  let limits = { Pool.default_limits with max_open = connections; max_idle = connections } in
  let pool = Pool.create ~limits scope "postgresql" ~close:Database.close connect in
  (* Connecting isn't measured, as in pgbench. *)
  let barrier = Soil.Task.Semaphore.create 0 in
  let warm _ =
    Pool.use pool (fun c ->
        ignore c;
        Soil.Task.Semaphore.release barrier;
        while Soil.Task.Semaphore.available barrier < connections do
          Soil.Clock.sleep 0.001
        done)
  in
  Soil.Task.iter warm (List.init connections Fun.id);
  let start = Soil.Clock.monotonic () in
  let until = start +. seconds in
  let count = ref 0 in
  let work _ =
    while Soil.Clock.monotonic () < until do
      Pool.use pool transaction;
      incr count
    done
  in
  Soil.Task.iter work (List.init tasks Fun.id);
  Printf.printf "tps = %f\n" (float_of_int !count /. (Soil.Clock.monotonic () -. start))
