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

let listen port scope =
  let listener = Soil.File_descriptor.own scope (Soil.Tcp.listen ~port ()) in
  Soil.Net.wait_up ();
  print_endline ("service listens on " ^ Soil.Net.Endpoint.to_string (Soil.Tcp.local listener));
  listener

let serve (options : Options.t) =
  Soil.run @@ fun () ->
  (* The listener starts again with the store: a store that is opened removes what unfinished
     changes have left, so those under way have to end before. *)
  Supervisor.run ~rule:Rest ~report @@ fun supervisor ->
  Metrics.watch supervisor;
  let store =
    Supervisor.add supervisor "store" (breakable "store" (open_store (options.data ^ "/values")))
  in
  let api =
    {
      Api.supervisor;
      store;
      max_value = options.max_value;
      store_failed = (fun e -> ignore (fail "store" (Soil.Error e)));
      fail = (if options.admin then Some (fun name -> fail name Asked_to_fail) else None);
    }
  in
  ignore
    (Supervisor.add supervisor "http" (breakable "http" (listen options.port)) ~run:(Api.serve api))

let () =
  Printexc.register_printer Soil.Error.printer;
  match serve (Options.read ()) with
  | () -> ()
  | exception Supervisor.Gave_up { message; _ } ->
      prerr_endline ("service: " ^ message);
      exit 1
  | exception Soil.Error e ->
      prerr_endline ("service: " ^ Soil.Error.to_string e);
      exit 1
