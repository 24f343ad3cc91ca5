module Faults = Faults
module World = World
module Network = Network
module Generate = Generate
module Workload = Workload
module History = Soil_sim_checkers.History
module Verdict = Soil_sim_checkers.Verdict
module Linearizable = Soil_sim_checkers.Linearizable
module Models = Soil_sim_checkers.Models
module Sequential = Soil_sim_checkers.Sequential
module Causal = Soil_sim_checkers.Causal
module Monotonic = Soil_sim_checkers.Monotonic
module Bank = Soil_sim_checkers.Bank
module Sets = Soil_sim_checkers.Sets
module Queues = Soil_sim_checkers.Queues
module Appends = Soil_sim_checkers.Appends

type image = Disk.image = Blank of int | File of string | Ext4 of int | Fat of int
type at_exit = World.at_exit = Fails | Restarts of int
type node = World.node
type nat = Nat.t

type world = {
  world : World.t;
  calm_from : int;  (** No fault happens from this time on. *)
  clients_until : int;  (** When a workload without a number of operations ends. *)
  mutable next_fault : int;
  mutable faults : Report.fault list;  (** The last one first. *)
  mutable declared : string list;
  mutable finally : (unit -> unit) list;  (** The last one first. *)
}

let seconds s = int_of_float (s *. 1e9)
let mib n = n lsl 20
let now w = World.now w.world
let address node = Network.address (World.index node)
let lines = World.lines
let on_line = World.on_line
let is_up = World.is_up

(* Nodes *)

let nothing_noted _ = ()

let node w ~name ?(arguments = []) ?(env = []) ?(files = []) ?(disks = []) ?(memory = mib 256)
    ?(at_exit = Fails) ?(unmodified = false) path =
  let preload = if unmodified then Preload.variables path else [] in
  let files =
    match files with [] -> [] | files -> [ ("SOIL_SIMULATION_FILES", String.concat ":" files) ]
  in
  World.add w.world ~name
    ~variables:(preload @ files @ env)
    ~disks ~memory ~at_exit ~on_note:nothing_noted
    (File { path; arguments })

let task w ~name ?(disks = []) ?(memory = mib 256) ?(at_exit = Fails) f =
  World.add w.world ~name ~variables:[] ~disks ~memory ~at_exit ~on_note:nothing_noted
    (Function (fun () -> Soil.run f))

let nat w ~name ?idle ?(most = 1000) nodes = World.add_nat w.world ~name ~idle ~most nodes
let nat_address nat = Network.address (Nat.index nat)

(* Faults *)

let is_allowed w id =
  match (World.settings w.world).faults with None -> true | Some ids -> List.mem id ids

let log w kind fields = Events.add (World.events w.world) ~at:(now w) kind fields

(* The times and numbers of faults don't depend on which of them happen. *)
let inject w fault rng lasting =
  let id = w.next_fault in
  w.next_fault <- id + 1;
  let rng = Generate.derive rng id in
  if is_allowed w id then
    match Faults.inject fault w.world rng with
    | None -> ()
    | Some (what, undo) ->
        let name = Faults.name fault in
        log w "fault" [ ("id", Int id); ("name", Text name); ("what", Text what) ];
        w.faults <- { id; name; what; at = now w } :: w.faults;
        let heal () =
          log w "heal" [ ("id", Int id) ];
          undo ()
        in
        World.at w.world (min (now w + lasting) w.calm_from) heal

let around rng mean = (mean / 2) + Generate.int rng (max 1 mean)

let every w ?lasting period fault =
  let lasting = Option.value lasting ~default:(period / 2) in
  let rng = World.rng w.world in
  w.declared <- Faults.name fault :: w.declared;
  let rec wait () =
    let time = now w + around rng period and lasting = around rng lasting in
    let happen () =
      if now w < w.calm_from then (
        inject w fault rng lasting;
        wait ())
    in
    World.at w.world time happen
  in
  wait ()

let rng w = World.rng w.world
let at w time f = World.at w.world time f
let set_network w quality = Network.set_base (World.network w.world) quality

(* Loads and checks *)

let workload w load ?(clients = 3) ?operations servers =
  let length =
    match operations with Some n -> Workload.Operations n | None -> Workload.Until w.clients_until
  in
  let history, check = Workload.start w.world load ~clients ~length servers in
  let { Settings.until; operations; _ } = World.settings w.world in
  (* A run that ends early may end before the first result. *)
  if until = None && operations = None then w.finally <- check :: w.finally;
  history

let always w name f = World.always w.world name f
let sometimes w name f = World.sometimes w.world name f
let finally w f = w.finally <- f :: w.finally
let fail name message = World.fail ~check:name message

let check name (verdict : Verdict.t) =
  match verdict with
  | Valid -> ()
  | Invalid message -> fail name message
  | Undecided message -> fail name ("undecided: " ^ message)

(* Running *)

let report w (settings : Settings.t) verdict =
  {
    Report.seed = settings.seed;
    verdict;
    hash = Events.hash (World.events w.world);
    virtual_ns = now w;
    events = Events.count (World.events w.world);
    faults = List.rev w.faults;
    declared = w.declared;
    strikes = World.strikes w.world;
    operations = World.operations w.world;
    sometimes = World.seen w.world;
  }

external descriptor : int -> Unix.file_descr = "%identity"

let publish (settings : Settings.t) report =
  (match settings.report with
  | None -> print_string (Report.to_text report)
  | Some fd ->
      let out = Unix.out_channel_of_descr (descriptor fd) in
      output_string out (Report.to_json report ^ "\n");
      flush out);
  exit (Report.status report)

let run w =
  match
    World.run w.world;
    List.iter (fun f -> f ()) (List.rev w.finally)
  with
  | () -> Report.Passed
  | exception World.Failed { check; message; nondeterministic } ->
      log w "check" [ ("name", Text check); ("message", Text message) ];
      if nondeterministic then Nondeterministic { check; message } else Failed { check; message }

let main ?(duration = seconds 60.) ?(calm = seconds 10.) ?(network = Network.lan) describe =
  (* A node that has ended is noticed by the end of its connection. *)
  Sys.set_signal Sys.sigpipe Signal_ignore;
  let settings =
    match Settings.read () with
    | settings -> settings
    | exception Failure message ->
        prerr_endline message;
        exit 2
  in
  let world = World.create settings ~ends:duration ~quality:network in
  let calm_from = max 0 (duration - calm) in
  let w =
    {
      world;
      calm_from;
      clients_until = calm_from + ((duration - calm_from) / 2);
      next_fault = 0;
      faults = [];
      declared = [];
      finally = [];
    }
  in
  let verdict =
    try
      describe w;
      run w
    with
    | Failure message -> Error message
    | e -> Failed { check = "exception"; message = Printexc.to_string e }
  in
  Events.close (World.events world);
  publish settings (report w settings verdict)
