(* A durable key-value service over HTTP. Its parts are supervised: the store, and the listener with
   its connections. README.md has the interface. *)
module Supervisor = Soil.Supervisor

(* A promise for each child, which its scope waits for: breaking it has the child fail. *)
let faults : (string, unit Soil.Task.Promise.t) Hashtbl.t = Hashtbl.create 4

let fail name e =
  match Hashtbl.find_opt faults name with
  | Some fault when Soil.Task.Promise.peek fault = None ->
      Hashtbl.remove faults name;
      Soil.Task.Promise.break fault e;
      true
  | Some _ | None -> false

let breakable name start scope =
  let fault = Soil.Task.Promise.create () in
  Hashtbl.replace faults name fault;
  ignore (Soil.Task.spawn_daemon scope (fun () -> Soil.Task.Promise.await fault));
  start scope

exception Asked_to_fail

let report path (h : Supervisor.health) =
  match h.state with
  | Ready -> print_endline (path ^ ": ready")
  | Waiting _ | Ended _ ->
      let reason = Option.fold h.last ~none:"" ~some:Supervisor.reason_to_string in
      print_endline (path ^ ": ended: " ^ reason)
  | Starting | Stopping | Overdue -> ()

let open_store folder _scope =
  match Soil.Kv.connect folder with
  | Ok store -> store
  | Error (`Failed e) -> raise (Soil.Error e)
  | Error e -> failwith (Soil.Kv.error_to_string e)

type interface = {
  listener : Soil.Tcp.listener;
  secure : (Soil.Tcp.connection -> Soil.Flow.t) option;
}

(* Certificates are read again whenever the listener starts. *)
let listen (arguments : Arguments.t) scope =
  let session files =
    Soil_tls.server (Soil_tls.server_config (Soil_tls.Files.certificates [ files ]))
  in
  let secure = Option.map session arguments.tls in
  let listener = Soil.File_descriptor.own scope (Soil.Tcp.listen ~port:arguments.port ()) in
  Soil.Net.wait_up ();
  print_endline ("service listens on " ^ Soil.Net.Endpoint.to_string (Soil.Tcp.local listener));
  { listener; secure }

let serve (arguments : Arguments.t) =
  (* The listener starts again with the store: a store that is opened removes what unfinished
     changes have left, so those under way have to end before. *)
  Supervisor.run ~rule:Rest ~report @@ fun supervisor ->
  Metrics.watch supervisor;
  let store =
    Supervisor.add supervisor "store" (breakable "store" (open_store (arguments.data ^ "/values")))
  in
  let api =
    {
      Api.supervisor;
      store;
      max_value = arguments.max_value;
      store_failed = (fun e -> ignore (fail "store" (Soil.Error e)));
      fail = (if arguments.admin then Some (fun name -> fail name Asked_to_fail) else None);
    }
  in
  let run { listener; secure } = Api.serve api ?secure listener in
  ignore (Supervisor.add supervisor "http" (breakable "http" (listen arguments)) ~run)

let run arguments () =
  match serve arguments with
  | () -> Ok ()
  | exception Supervisor.Gave_up { message; _ } -> Error message
  | exception Soil.Error e -> Error (Soil.Error.to_string e)

let () =
  let info =
    Cmdliner.Cmd.info "service" ~version:Soil.version
      ~doc:"a durable key-value service over HTTP, whose parts are supervised"
  in
  Soil_cmdliner.main_result (Cmdliner.Cmd.v info Cmdliner.Term.(const run $ Arguments.term))
