module Task = Soil.Task
module Stream = Soil.Task.Stream

type pending = {
  respond : Protocol.response -> unit;
  read : unit -> Protocol.response;  (** The response to a read, when it is ready. *)
}

type t = {
  settings : Settings.t;
  scope : Task.scope;
  storage : Storage.t;
  transport : Transport.t;
  inputs : Raft.input Stream.t;
  mutable raft : Raft.t;
  mutable store : Store.t;
  mutable next_token : int;
  pending : (int, pending) Hashtbl.t;  (** Requests of clients, by their tokens. *)
  proposed : (int, int * int) Hashtbl.t;
      (** By the indices of their entries: the term, and the token. *)
  mutable saving : bool;  (** A snapshot is being written. *)
}

let now = Soil.Clock.monotonic

(* Requests. An answer that comes after the deadline finds no request. *)

let answer t token f =
  match Hashtbl.find_opt t.pending token with
  | None -> ()
  | Some request ->
      Hashtbl.remove t.pending token;
      request.respond (f request)

let leader_address t =
  Option.map
    (fun (m : Message.member) -> Protocol.client_address m.address)
    (Option.bind (State.leader_id t.raft) (State.member t.raft))

(* The entry of a request is lost for sure if another one is applied in its place. *)
let answer_proposed t index term result =
  match Hashtbl.find_opt t.proposed index with
  | None -> ()
  | Some (proposed_in, token) ->
      Hashtbl.remove t.proposed index;
      answer t token (fun _ ->
          if proposed_in = term then Protocol.Result result else Redirect (leader_address t))

(* A later leader decides what becomes of the entries of this one. *)
let give_up_proposed t ~term role =
  let is_lost (_, (proposed_in, _)) =
    match role with State.Leader _ -> proposed_in <> term | _ -> true
  in
  let lost = List.filter is_lost (List.of_seq (Hashtbl.to_seq t.proposed)) in
  List.iter
    (fun (index, (_, token)) ->
      Hashtbl.remove t.proposed index;
      answer t token (fun _ -> Protocol.Unknown))
    lost

(* The state machine *)

(* Servers with other lines for the same entry have different data. *)
let print_digest t index (entry : Message.entry) =
  match t.settings.digest with
  | Some every when index mod every = 0 ->
      let digest = Digest.to_hex (Digest.string (Store.save t.store)) in
      print_endline (Printf.sprintf "entry %d term %d digest %s" index entry.term digest)
  | Some _ | None -> ()

let apply t index (entry : Message.entry) =
  let result : Command.result =
    match entry.payload with
    | Noop | Configuration _ -> Done
    | Command s ->
        let store, result = Store.apply t.store ~index (Wire.decode Command.decoder s) in
        t.store <- store;
        result
  in
  print_digest t index entry;
  answer_proposed t index entry.term result

(* The entries behind a snapshot's last one that stay for followers that are a little late. *)
let kept t = t.settings.snapshot / 4

(* The state machine is immutable: so the snapshot is written while the server goes on. *)
let save_snapshot t =
  let snapshot = Raft.snapshot_at t.raft t.raft.commit and store = t.store in
  let save () =
    Storage.save_snapshot t.storage snapshot (Store.save store);
    Stream.push t.inputs (Compact { snapshot; keep = kept t });
    print_endline ("snapshot " ^ string_of_int snapshot.index)
  in
  t.saving <- true;
  ignore (Task.spawn t.scope save)

let install t (snapshot : Message.snapshot) data =
  Storage.save_snapshot t.storage snapshot data;
  t.store <- Store.load data;
  print_endline (Printf.sprintf "snapshot %d installed" snapshot.index)

let send_snapshot t ~peer ~round ~index ~offset =
  match Storage.read_snapshot t.storage ~index ~offset ~length:t.settings.raft.chunk with
  | None -> ()
  | Some (snapshot, total, chunk) ->
      let term = t.raft.term in
      Transport.send t.transport peer
        (Snapshot_request { term; round; snapshot; offset; total; chunk })

(* Actions *)

let perform t : State.action -> unit = function
  | Install (snapshot, data) -> install t snapshot data
  | Rewrite -> Storage.rewrite t.storage ~term:t.raft.term ~vote:t.raft.vote t.raft.log
  | Save _ | Append _ -> ()
  | Send (peer, m) ->
      (match m with
      | Vote_response { pre = false; term; granted = true } ->
          print_endline (Printf.sprintf "term %d votes for %d" term peer)
      | _ -> ());
      Transport.send t.transport peer m
  | Send_snapshot { peer; round; index; offset } -> send_snapshot t ~peer ~round ~index ~offset
  | Commit { first; entries } -> List.iteri (fun i entry -> apply t (first + i) entry) entries
  | Proposed { token; index } -> Hashtbl.replace t.proposed index (t.raft.term, token)
  | Read_ready token -> answer t token (fun request -> request.read ())
  | Not_leader token -> answer t token (fun _ -> Redirect (leader_address t))
  | Refused (token, reason) -> answer t token (fun _ -> Refused reason)
  | Became { term; role } ->
      give_up_proposed t ~term role;
      print_endline (Printf.sprintf "term %d %s" term (Raft.role_name role))

(* The term, the vote and the entries of one step go to the disk together. *)
let save t actions =
  let hard_state =
    List.find_map (function State.Save { term; vote } -> Some (term, vote) | _ -> None) actions
  and entries =
    List.find_map
      (function State.Append { first; entries } -> Some (first, entries) | _ -> None)
      actions
  in
  if hard_state <> None || entries <> None then Storage.append t.storage ~hard_state entries

let is_durable : State.action -> bool = function
  | Install _ | Rewrite | Save _ | Append _ -> true
  | _ -> false

(* A leader's entries may be on their way while its own disk writes them: they promise nothing of
   that. But its term is durable before. *)
let is_early actions =
  let begins_term =
    List.exists (function State.Save _ | Install _ | Rewrite -> true | _ -> false) actions
  in
  function State.Send (_, Append_request _) -> not begins_term | _ -> false

let learn_members t =
  List.iter
    (fun (m : Message.member) -> Transport.learn t.transport ~id:m.id ~address:m.address)
    t.raft.configuration

let rec advance t inputs =
  let before = t.raft in
  let raft, actions = Raft.step before ~now:(now ()) inputs in
  t.raft <- raft;
  if List.exists (function Raft.Compact _ -> true | _ -> false) inputs then t.saving <- false;
  if raft.configuration != before.configuration then learn_members t;
  let early, actions = List.partition (is_early actions) actions in
  List.iter (perform t) early;
  save t actions;
  List.iter (perform t) actions;
  if raft.commit - raft.snapshot.index >= t.settings.snapshot && not t.saving then save_snapshot t;
  if List.exists is_durable actions then advance t [ Flushed ]

(* Inputs that have come together make one step, and one write to the disk. *)
let max_inputs = 128

let rec take_more t n inputs =
  match if n = 0 then None else Stream.poll t.inputs with
  | Some input -> take_more t (n - 1) (input :: inputs)
  | None -> List.rev inputs

let rec loop t =
  let wait = Raft.deadline t.raft -. now () in
  let first =
    if wait > 0. then Task.timeout_opt wait (fun () -> Stream.take t.inputs)
    else Stream.poll t.inputs
  in
  let inputs = match first with Some input -> take_more t max_inputs [ input ] | None -> [] in
  advance t inputs;
  Task.yield ();
  loop t

(* Clients *)

let request_timeout = 10.
let max_clients = 1024

(* Waits for the answer to an input; only a read has an answer of its own. *)
let ask t ?(read = fun () -> Protocol.Unknown) input =
  let token = t.next_token and promise = Task.Promise.create () in
  t.next_token <- token + 1;
  Hashtbl.replace t.pending token { respond = Task.Promise.fulfil promise; read };
  Fun.protect ~finally:(fun () -> Hashtbl.remove t.pending token) @@ fun () ->
  Task.timeout_opt request_timeout (fun () ->
      Stream.push t.inputs (input token);
      Task.Promise.await promise)
  |> Option.value ~default:Protocol.Unknown

let respond t : Protocol.request -> Protocol.response = function
  | Read key ->
      let read () = Protocol.Result (Value (Store.find t.store key)) in
      ask t ~read (fun token -> Read token)
  | Execute c ->
      let command = Wire.encode Command.encoder c in
      ask t (fun token -> Propose { token; command })
  | Change (Add { address; _ }) when Soil.Net.Endpoint.of_string_opt address = None ->
      Refused ("not an address with a port: " ^ address)
  | Change change -> ask t (fun token -> Change { token; change })
  | Members ->
      let read () = Protocol.Members_are t.raft.configuration in
      ask t ~read (fun token -> Read token)

let serve_clients t listener =
  Soil.Tcp.serve ~max_connections:max_clients listener @@ fun c ->
  let r = Soil.Reader.create c and w = Soil.Writer.create c in
  Soil.Writer.tie w r;
  try
    while not (Soil.Reader.at_end r) do
      let request = Wire.read_frame ~max:Wire.max_request r in
      let response = respond t (Wire.decode Protocol.to_request request) in
      Wire.write_frame w (Wire.encode Protocol.response response)
    done
  with
  | Wire.Malformed reason -> prerr_endline ("close " ^ Soil.File_descriptor.name c ^ ": " ^ reason)
  | End_of_file -> ()

(* The start *)

let initial (settings : Settings.t) : Message.snapshot =
  { index = 0; term = 0; configuration = settings.members }

let run (settings : Settings.t) =
  Task.scope @@ fun scope ->
  let storage, recovered =
    Storage.open_ scope ~initial:(initial settings) ~data:(Store.save Store.empty) settings.data
  in
  let { Storage.term; vote; log; snapshot; data } = recovered in
  let seed = Soil.Random.int max_int in
  let raft =
    Raft.create ~id:settings.id ~seed ~now:(now ()) ~settings:settings.raft ~term ~vote ~snapshot
      log
  in
  let port = Settings.port settings in
  let own = Soil.File_descriptor.own scope in
  let listener = own (Soil.Tcp.listen ~port ()) in
  let clients = own (Soil.Tcp.listen ~port:(port + 1) ()) in
  let transport = Transport.create scope ~id:settings.id ~address:settings.address in
  let t =
    {
      settings;
      scope;
      storage;
      transport;
      inputs = Stream.create 256;
      raft;
      store = Store.load data;
      next_token = 0;
      pending = Hashtbl.create 64;
      proposed = Hashtbl.create 64;
      saving = false;
    }
  in
  List.iter (fun (id, address) -> Transport.learn transport ~id ~address) settings.peers;
  learn_members t;
  let voted = Option.fold ~none:"none" ~some:string_of_int vote in
  print_endline (Printf.sprintf "recovered term %d vote %s" term voted);
  print_endline (Printf.sprintf "term %d follower" term);
  let receive from m = Stream.push t.inputs (Received (from, m)) in
  let serve () = Transport.serve transport ~max_connections:settings.connections listener receive in
  ignore (Task.spawn scope serve);
  ignore (Task.spawn scope (fun () -> serve_clients t clients));
  loop t
