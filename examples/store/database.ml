module Pool = Soil_resource_pool

exception Unavailable of string

type statement = { name : string; sql : string }
type row = string list

(* A connection, and the names of the statements that it has prepared. *)
type transaction = { connection : unit Postgresql.t; prepared : (string, unit) Hashtbl.t }
type t = transaction Pool.t

let count = ref 0

let statement sql =
  incr count;
  { name = Printf.sprintf "s%d" !count; sql }

let begin_work = statement "begin"
let commit = statement "commit"
let rollback = statement "rollback"

let execute { connection; prepared } { name; sql } parameters =
  if not (Hashtbl.mem prepared name) then (
    Postgresql.prepare connection ~name ~query:sql ();
    Hashtbl.replace prepared name ());
  let params = List.map Option.some parameters in
  List.map (List.map Option.get) (Postgresql.execute connection ~name ~params ())

(* A machine that is killed closes no connection: the server has to end its transactions, whose
   locks others wait for, and find out that it is gone. *)
let session_limits =
  statement
    "select set_config('idle_in_transaction_session_timeout', '1s', false), \
     set_config('lock_timeout', '3s', false), set_config('statement_timeout', '5s', false), \
     set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', \
     false), set_config('tcp_keepalives_count', '3', false), set_config('tcp_user_timeout', '10s', \
     false)"

let connect uri () =
  let database =
    match Uri.path uri with "" | "/" -> "postgres" | p -> String.sub p 1 (String.length p - 1)
  in
  let host = Uri.host_with_default ~default:"127.0.0.1" uri in
  let connection =
    Postgresql.connect ~host ?port:(Uri.port uri) ?user:(Uri.user uri) ?password:(Uri.password uri)
      ~database ()
  in
  let connected = { connection; prepared = Hashtbl.create 16 } in
  match execute connected session_limits [] with
  | _ -> connected
  | exception e ->
      Postgresql.close connection;
      raise e

(* A failed statement leaves its connection usable. *)
let keep = function Postgresql.PostgreSQL_Error _ -> true | _ -> false

let create ?(name = "database") ?(max_connections = 10) scope uri =
  Postgresql.verbose := 0;
  Postgresql.max_message_length := 1 lsl 20;
  let limits =
    {
      Pool.default_limits with
      max_open = max_connections;
      max_idle = max_connections;
      max_waiting = 500;
      wait_seconds = 5.;
      open_within = 5.;
    }
  in
  let pool =
    Pool.create scope name ~limits ~keep
      ~is_healthy:(fun { connection; _ } -> Postgresql.alive connection)
      ~close:(fun { connection; _ } -> Postgresql.close connection)
      (connect uri)
  in
  Soil_resource_pool_metrics.register ~name pool;
  pool

(* Classes of SQLSTATE: connections, conflicts of transactions, a lack of resources, locks, and what
   an operator has ended. The end of a connection comes as [End_of_file]. *)
let is_transient fields =
  match List.assoc_opt 'C' fields with
  | Some code when String.length code = 5 ->
      List.mem (String.sub code 0 2) [ "08"; "40"; "53"; "55"; "57" ]
  | Some _ | None -> false

let use t f =
  try Pool.use t f with
  | Postgresql.PostgreSQL_Error (reason, fields) when is_transient fields ->
      raise (Unavailable reason)
  | Postgresql.Error reason -> raise (Unavailable reason)
  | End_of_file -> raise (Unavailable "the connection has ended")
  | Soil.Error e -> raise (Unavailable (Soil.Error.to_string e))
  | Unix.Unix_error (e, _, _) -> raise (Unavailable (Unix.error_message e))

let query t statement parameters = use t (fun c -> execute c statement parameters)

let error = function
  | Unavailable reason | Postgresql.PostgreSQL_Error (reason, _) -> Some reason
  | _ -> None

let forever ~name step =
  let rec run ~is_known =
    match step () with
    | () -> run ~is_known:false
    | exception e -> (
        match error e with
        | None -> raise e
        | Some reason ->
            if not is_known then
              Printf.eprintf "store: %s: database: %s; trying again\n%!" name reason;
            Soil.Clock.sleep 1.;
            run ~is_known:true)
  in
  run ~is_known:false

(* After another exception the pool closes the connection, and the server rolls back. *)
let transaction t f =
  use t @@ fun c ->
  ignore (execute c begin_work []);
  match f c with
  | Ok _ as result ->
      ignore (execute c commit []);
      result
  | Error _ as result ->
      ignore (execute c rollback []);
      result
  | exception (Postgresql.PostgreSQL_Error _ as e) ->
      ignore (execute c rollback []);
      raise e
