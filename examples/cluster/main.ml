(* Counts visits in PostgreSQL, so that any number of copies of this program behind a load balancer
   count as one: NAME DATABASE-ADDRESS [PORT]. *)
module Server = Soil_http.Server

let visit = "update visits set count = count + 1 returning count"

let create =
  [
    (* One copy at a time: of two that create a table at once, one fails. *)
    "select pg_advisory_xact_lock(1)";
    "create table if not exists visits (count bigint not null)";
    "insert into visits select 0 where not exists (select from visits)";
  ]

(* The connection, which one task uses at a time; a new one after an error. *)
type t = { address : string; mutable connection : unit Database.t option; lock : Soil.Task.Mutex.t }

let connected t =
  match t.connection with
  | Some connection -> connection
  | None ->
      let connection = Database.connect ~host:t.address ~user:"soil" ~database:"postgres" () in
      t.connection <- Some connection;
      connection

let ask t query =
  Soil.Task.Mutex.protect t.lock @@ fun () ->
  match Database.inject (connected t) query with
  | rows -> rows
  | exception e ->
      Option.iter (fun c -> try Database.close c with _ -> ()) t.connection;
      t.connection <- None;
      raise e

let prepare t =
  Soil.Task.Mutex.protect t.lock @@ fun () ->
  let connection = connected t in
  Database.begin_work connection;
  List.iter (fun query -> ignore (Database.inject connection query)) create;
  Database.commit connection

let unavailable e = Server.string ~status:`Service_unavailable (Printexc.to_string e ^ "\n")

let respond name t request =
  match (Server.meth request, Server.path request) with
  | `GET, "/" -> (
      match ask t visit with
      | [ [ Some count ] ] -> Server.string (Printf.sprintf "visit %s, by %s\n" count name)
      | _ -> Server.status `Internal_server_error
      | exception e -> unavailable e)
  (* The load balancer's check: a copy without its database gets no visitors. *)
  | `GET, "/health" -> (
      match ask t "select 1" with _ -> Server.string "ready\n" | exception e -> unavailable e)
  | _ -> Server.status `Not_found

let serve name address port =
  Database.verbose := 0;
  Soil.run @@ fun () ->
  let listener = Soil.Tcp.listen ~port () in
  Soil.Net.wait_up ();
  let t = { address; connection = None; lock = Soil.Task.Mutex.create () } in
  prepare t;
  print_endline (name ^ " counts visits");
  Server.serve ~grace:5. listener (respond name t)

let () =
  match Sys.argv with
  | [| _; name; address |] -> serve name address 8080
  | [| _; name; address; port |] when int_of_string_opt port <> None ->
      serve name address (int_of_string port)
  | _ ->
      prerr_endline "usage: cluster NAME DATABASE-ADDRESS [PORT]";
      exit 2
