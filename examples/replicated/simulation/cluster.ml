(* The replicated store in virtual time: servers, clients, and faults of the network, the disks, the
   clocks and the processes. *)

open Replicated
module Generate = Soil_sim.Generate
module Faults = Soil_sim.Faults
module World = Soil_sim.World

let second = Soil_sim.seconds 1.
let millisecond = second / 1000

(* The store as one object, by key. *)
module Model = struct
  type operation = Command.operation
  type result = Command.result
  type state = string option

  let initial = None

  let step state (operation : operation) (result : result option) =
    let next, expected =
      match operation with
      | Get _ -> (state, Command.Value state)
      | Put (_, value) -> (Some value, Done)
      | Delete _ -> (None, Existed (state <> None))
      | Append (_, text) -> (Some (Option.value state ~default:"" ^ text), Done)
      | Compare_and_set { expected; value; _ } ->
          if state = expected then (value, Swapped true) else (state, Swapped false)
    in
    match result with Some result when result <> expected -> [] | _ -> [ next ]

  let equal = Option.equal String.equal
  let hash = Hashtbl.hash

  let key : operation -> string = function
    | Get key | Put (key, _) | Delete key | Append (key, _) | Compare_and_set { key; _ } -> key

  let text = Option.value ~default:"none"

  let pp_operation : operation -> string = function
    | Get key -> "get " ^ key
    | Put (key, value) -> Printf.sprintf "put %s %s" key value
    | Delete key -> "delete " ^ key
    | Append (key, value) -> Printf.sprintf "append %s %s" key value
    | Compare_and_set { key; expected; value } ->
        Printf.sprintf "change %s from %s to %s" key (text expected) (text value)

  let pp_result : result -> string = function
    | Value value -> text value
    | Existed b | Swapped b -> string_of_bool b
    | _ -> "done"
end

let client_port = "7001"

module Load = struct
  type operation = Command.operation
  type result = Command.result

  (* Those with an odd number know nothing of earlier operations: they meet a new leader at once, while
     others still ask the former one. *)
  type client = Lasting of Client.t | Forgetful of { servers : string list; timeout : float }

  (* One of the others has no session, and doesn't repeat what may have had its effect. *)
  let connect ~number servers =
    let servers = List.map (fun ip -> ip ^ ":" ^ client_port) servers in
    (* An impatient client goes on: a leader that is cut off gets more entries. Others would leave the
       checker too many operations of unknown effect. *)
    let timeout = if number = 1 && Soil.Random.int 3 = 0 then 0.3 else 4. in
    if number mod 2 = 1 then Forgetful { servers; timeout }
    else Lasting (Client.create ~timeout ~session:(number > 0) servers)

  let with_client client f =
    match client with
    | Lasting client -> f client
    | Forgetful { servers; timeout } ->
        let order = List.map (fun server -> (Soil.Random.int 1000, server)) servers in
        let servers = List.map snd (List.sort compare order) in
        let client = Client.create ~timeout ~session:false servers in
        Fun.protect ~finally:(fun () -> Client.close client) (fun () -> f client)

  (* A leader that is cut off keeps a client waiting that writes: those that mostly read see what it
     answers. *)
  let operation rng ~number : operation =
    let key = Generate.weighted rng [ (3, "a"); (2, "b"); (2, "c"); (1, "d"); (1, "e") ] in
    let value = Printf.sprintf "%d.%d" number (Generate.int rng 1_000_000) in
    if Generate.chance rng (if number >= 2 then 0.9 else 0.2) then Get key
    else
      match Generate.int rng 6 with
      | 0 | 1 | 2 -> Put (key, value)
      | 3 -> Append (key, "+" ^ value)
      | 4 -> Delete key
      | _ -> Compare_and_set { key; expected = None; value = Some value }

  let ask (operation : operation) client : result =
    match operation with
    | Get key -> Value (Client.get client key)
    | Put (key, value) ->
        Client.put client key value;
        Done
    | Delete key -> Existed (Client.delete client key)
    | Append (key, text) ->
        Client.append client key text;
        Done
    | Compare_and_set { key; expected; value } ->
        Swapped (Client.compare_and_set client key ~expected value)

  let perform client operation =
    try with_client client (ask operation)
    with Client.Unavailable _ | Client.Refused _ -> raise (Soil_sim.Workload.Failure No_effect)

  (* Bursts, and times without operations. *)
  let think rng = if Generate.int rng 20 = 0 then Generate.float rng 3. else Generate.float rng 0.1
  let operation_to_string = Model.pp_operation
  let result_to_string = Model.pp_result
end

let joins_later i = i >= 3

(* By the seed, as the faults. *)
let settings rng =
  [
    ("REPLICATED_SNAPSHOT", Generate.choice rng [ "2"; "8"; "60"; "300" ]);
    ("REPLICATED_ELECTION", Generate.choice rng [ "150-160"; "150-300"; "150-2500" ]);
    ("REPLICATED_DIGEST", Generate.choice rng [ "1"; "4" ]);
    ("REPLICATED_BATCH", Generate.choice rng [ "1"; "131072" ]);
    ("REPLICATED_CONNECTIONS", Generate.choice rng [ "12"; "64" ]);
  ]

let far = { Soil_sim.Network.lan with latency = second / 500; jitter = second / 100 }

let server world ~servers settings i =
  let peers =
    List.init servers (fun i -> Printf.sprintf "10.0.0.%d:7000" (i + 1))
    |> List.filteri (fun peer _ -> joins_later i || not (joins_later peer))
  in
  Soil_sim.node world ~name:(Printf.sprintf "db%d" i)
    ~env:
      ([
         ("REPLICATED_ID", string_of_int i);
         ("REPLICATED_PEERS", String.concat "," peers);
         ("REPLICATED_JOIN", if joins_later i then "1" else "0");
       ]
      @ settings)
    ~disks:[ ("data", Ext4 (Soil_sim.mib 16)) ]
    "../main.exe"

(* Adds a server and removes it, again and again. *)
let change_members servers id () =
  let client = Client.create ~timeout:4. (List.map (fun ip -> ip ^ ":" ^ client_port) servers) in
  let address = List.nth servers id ^ ":7000" in
  let attempt f =
    try f () with Client.Unknown _ | Client.Unavailable _ | Client.Refused _ -> ()
  in
  while true do
    Soil.Clock.sleep (float (1 + Soil.Random.int 8));
    attempt (fun () -> Client.add_server client ~id ~address);
    Soil.Clock.sleep (float (1 + Soil.Random.int 8));
    attempt (fun () -> Client.remove_server client id)
  done

(* What the servers print *)

let on_words db f =
  let on_line node text = f node (String.split_on_char ' ' text) in
  List.iter (fun node -> Soil_sim.on_line node (on_line node)) db

(* Fails if [key] gets a second value. *)
let only_one table ~check ~key value describe =
  match Hashtbl.find_opt table key with
  | Some other when other <> value -> Soil_sim.fail check (describe ())
  | Some _ -> ()
  | None -> Hashtbl.add table key value

(* Fails at the second time. *)
let once table ~check key describe =
  if Hashtbl.mem table key then Soil_sim.fail check (describe ()) else Hashtbl.add table key ()

(* A term has one leader, and a server asks for votes and wins once in it, also if it falls. *)
let watch_leaders db =
  let leaders = Hashtbl.create 64 and candidates = Hashtbl.create 64 and latest = ref None in
  on_words db (fun node -> function
    | [ "term"; term; "leader" ] ->
        latest := Some node;
        once leaders ~check:"one leader" term (fun () ->
            "term " ^ term ^ " has a second leader, " ^ World.name node)
    | [ "term"; term; "candidate" ] ->
        once candidates ~check:"one election"
          (term, World.name node)
          (fun () -> World.name node ^ " asks for votes again in term " ^ term)
    | _ -> ());
  (leaders, latest)

(* A server votes once in a term, its disk has the vote, and a leader got votes. *)
let watch_votes db =
  let votes = Hashtbl.create 64 in
  let vote ?(says = " votes twice in term ") node term candidate =
    only_one votes ~check:"one vote"
      ~key:(term, World.name node)
      candidate
      (fun () -> World.name node ^ says ^ term)
  in
  on_words db (fun node -> function
    | [ "term"; term; "candidate" ] -> vote node term (string_of_int (World.index node))
    | [ "term"; term; "votes"; "for"; id ] -> vote node term id
    | [ "recovered"; "term"; term; "vote"; id ] when Hashtbl.mem votes (term, World.name node) ->
        vote ~says:" has lost its vote in term " node term id
    | [ "term"; term; "leader" ] ->
        let is_for_it ((in_term, _), id) =
          in_term = term && id = string_of_int (World.index node)
        in
        (* At least two servers are voters. *)
        if Seq.length (Seq.filter is_for_it (Hashtbl.to_seq votes)) < 2 then
          Soil_sim.fail "votes" (World.name node ^ " leads without votes in term " ^ term)
    | _ -> ())

(* Servers that have applied the same entries have the same data. *)
let watch_data db =
  let digests = Hashtbl.create 256 in
  on_words db (fun node -> function
    | [ "entry"; index; "term"; term; "digest"; digest ] ->
        only_one digests ~check:"same data" ~key:index (term, digest) (fun () ->
            Printf.sprintf "%s has other data after entry %s (term %s, digest %s)" (World.name node)
              index term digest)
    | _ -> ())

(* Servers that are always members have all entries soon. *)
let watch_followers world db =
  let late = 5 * second in
  let reached = Hashtbl.create 8 and old = ref 0 in
  let last node = Option.value (Hashtbl.find_opt reached (World.name node)) ~default:0 in
  on_words db (fun node -> function
    | "entry" :: index :: _ ->
        let index = int_of_string index in
        if Soil_sim.now world < (60 * second) - late then old := max !old index;
        Hashtbl.replace reached (World.name node) index
    | [ "snapshot"; index; "installed" ] ->
        Hashtbl.replace reached (World.name node) (int_of_string index)
    | _ -> ());
  fun () ->
    let check node =
      if last node < !old then
        Soil_sim.fail "followers"
          (Printf.sprintf "%s is at entry %d, and others were at %d 5 s ago" (World.name node)
             (last node) !old)
    in
    List.iter check (List.filteri (fun i _ -> i < 2) db)

(* The clients reach both sides. *)
let cut_off world db node =
  let is_server i = List.exists (fun node -> World.index node = i) db in
  let i = World.index node in
  let concerns a b = is_server a && is_server b && (a = i || b = i) in
  Soil_sim.Network.block (World.network world) ~reason:"cut off" concerns

let of_leader ~name leader f =
  Faults.make ~name (fun world rng ->
      match !leader with
      | Some node when World.is_up node -> Some (World.name node, f world rng node)
      | _ -> None)

(* With a slow clock it trusts for longer what it has heard. *)
let leader_cut_off leader db =
  of_leader ~name:"the leader is cut off" leader (fun world rng node ->
      let is_slow = Generate.bool rng in
      if is_slow then World.drift world node (-800_000);
      let heal = cut_off world db node in
      fun () ->
        heal ();
        if is_slow then World.drift world node 0)

(* It goes on with responses of before, or is cut off before it pauses: then clients' requests and a
   new leader's messages may come together. It hears of a new leader while it pauses, or later. *)
let leader_pauses leader db =
  let name = "the leader pauses" in
  let inject world rng node =
    let lasts = ref true and heal = ref None in
    let cut () = if !lasts && Option.is_none !heal then heal := Some (cut_off world db node) in
    let after ns f = World.at world (World.now world + ns) f in
    let pause () =
      World.pause node;
      after (Generate.int rng (5 * millisecond)) cut
    in
    if Generate.bool rng then cut ();
    (* A pause right behind a message is likely to keep its response. *)
    let take_back = World.at_message world node ~name (1 + Generate.int rng 20) pause in
    let go_on () = World.go_on world node and mend () = Option.iter (fun heal -> heal ()) !heal in
    let first, next = if Generate.bool rng then (mend, go_on) else (go_on, mend) in
    let between = Generate.int rng (300 * millisecond) in
    fun () ->
      lasts := false;
      take_back ();
      first ();
      after between next
  in
  of_leader ~name leader inject

(* Strikes at the next line of a server for which [suits]. *)
let at_line ~name ~at db suits strike =
  let armed = ref [] in
  on_words db (fun node words ->
      match !armed with
      | first :: later when suits words ->
          armed := later;
          first node
      | _ -> ());
  Faults.make ~name (fun world rng ->
      World.delayed world name;
      let strike = strike world rng in
      armed := !armed @ [ strike ];
      Some (at, fun () -> armed := List.filter (( != ) strike) !armed))

(* One of its next messages is its last one, and it soon starts again. *)
let fall ~name world rng node =
  let strike () =
    if Generate.bool rng then World.kill world node else World.lose_power ~torn:false world node;
    let back = World.now world + 1_000_000 + Generate.int rng 50_000_000 in
    World.at world back (fun () -> World.start world node)
  in
  let (_ : unit -> unit) = World.at_message world node ~name (1 + Generate.int rng 20) strike in
  ()

(* Another server falls while one asks for votes, and is back before the election is over. *)
let voter_falls db =
  let name = "a voter falls" in
  let asks = function [ "term"; _; "candidate" ] -> true | _ -> false in
  at_line ~name ~at:"in the next election" db asks (fun world rng candidate ->
      let suits node = node != candidate && World.is_up node in
      match List.filter suits db with
      | [] -> ()
      | others -> fall ~name world rng (Generate.choice rng others))

(* Between a change of the log, a snapshot, and the removal of what it replaces. *)
let falls_at_entry db =
  let name = "fall at an entry" in
  let applies = function "entry" :: _ -> true | _ -> false in
  at_line ~name ~at:"the next one" db applies (fall ~name)

(* Each seed leaves some kinds of faults out, and has rates of its own: a frequent fault hides what a
   rare one would show. *)
let add_faults world rng ~leader ~far db =
  let every ?(nodes = db) ?lasting seconds fault =
    if Generate.chance rng 0.7 then
      let rate = Generate.choice rng [ 0.5; 1.; 2. ] in
      let lasting = Option.map Soil_sim.seconds lasting in
      Soil_sim.every world ?lasting (Soil_sim.seconds (seconds /. rate)) (fault nodes)
  in
  (* A server that never falls has what is left behind by all that do. *)
  let spared = if Generate.bool rng then Some (List.nth db (Generate.int rng 2)) else None in
  let falling = List.filter (fun node -> Option.fold ~none:true ~some:(( != ) node) spared) db in
  (* Short ones meet an election, or a server that has just voted. *)
  every 2. ~nodes:falling ~lasting:0.1 Faults.kill_during;
  every 4. ~nodes:falling ~lasting:0.1 Faults.power_cut;
  every 6. ~lasting:1. Faults.isolate;
  every 5. ~lasting:0.4 Faults.pause;
  every 3. ~nodes:falling ~lasting:6. voter_falls;
  every 2. ~nodes:falling ~lasting:1. falls_at_entry;
  every 8. Faults.partition;
  every 5. ~lasting:2. (leader_cut_off leader);
  every 6. ~lasting:1.2 (leader_pauses leader);
  every 20. ~nodes:falling Faults.power_cut_of_all;
  every 12. Faults.one_way;
  every 14. Faults.slow_disk;
  every 10. ~lasting:3. (Faults.slow_link ~factor:(if far then 4 else 50));
  every 12. ~lasting:3. Faults.lossy;
  every 12. ~lasting:3. Faults.unordered;
  every 10. (Faults.clock_drift ~most:(Generate.choice rng [ 50_000; 500_000 ]));
  every 20. Faults.clock_step

(* Three servers, and others that join and leave. *)
let run ~servers ~clients =
  Soil_sim.main ~duration:(60 * second) ~calm:(15 * second) @@ fun world ->
  let rng = Soil_sim.rng world in
  let settings = settings rng in
  let is_far = Generate.int rng 3 = 0 in
  if is_far then Soil_sim.set_network world far;
  let db = List.init servers (server world ~servers settings) in
  let addresses = List.map Soil_sim.address db in
  let operator id =
    let name = Printf.sprintf "operator of db%d" id in
    ignore (Soil_sim.task world ~name (change_members addresses id))
  in
  if servers > 3 then List.iter operator [ 2; 3 ];
  let history = Soil_sim.workload world (module Load) ~clients ~operations:1000 db in
  watch_votes db;
  watch_data db;
  let check_followers = watch_followers world db in
  let leaders, leader = watch_leaders db in
  add_faults world rng ~leader ~far:is_far db;
  Soil_sim.sometimes world "three terms" (fun () -> Hashtbl.length leaders >= 3);
  let installed = ref false in
  let on_line text = if String.ends_with ~suffix:"installed" text then installed := true in
  List.iter (fun node -> Soil_sim.on_line node on_line) db;
  Soil_sim.sometimes world "a snapshot was installed" (fun () -> !installed);
  Soil_sim.finally world (fun () ->
      let history = history () in
      Soil_sim.check "linearizable" (Soil_sim.Linearizable.check (module Model) history);
      let late = (60 * second) - (8 * second) in
      let is_late (operation : _ Soil_sim.History.operation) =
        match operation.outcome with Returned { at; _ } -> at > late | _ -> false
      in
      if Soil_sim.now world = 60 * second then check_followers ();
      if Soil_sim.now world = 60 * second && not (List.exists is_late history) then
        Soil_sim.fail "progress" "no operation has returned in the last 8 s, without faults")
