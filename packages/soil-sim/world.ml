exception Failed of { check : string; message : string; nondeterministic : bool }

type at_exit = Fails | Restarts of int

(* What happens before the message after so many others takes effect. *)
type strike = { mutable messages : int; strike : unit -> unit }

type node = {
  index : int;
  name : string;
  program : Process.program;
  variables : (string * string) list;
  memory : int;
  at_exit : at_exit;
  on_note : string -> unit;
  disks : Disk.t list;
  clock : Clock.t;
  rng : Generate.t;
  mutable process : Process.t option;
  mutable starts : int;
  mutable power_cuts : int;
  mutable inbox : Wire.event list;  (** The last one first. *)
  mutable next_turn : int;  (** When it is resumed; [max_int] if it isn't. *)
  mutable until : int;  (** Its monotonic time until which it waits. *)
  mutable not_before : int;  (** It computes, or is paused. *)
  mutable paused : bool;
  mutable late : bool;  (** A turn came while it was paused. *)
  mutable stops : int;
  mutable strikes_due : strike list;  (** The first one first. *)
  mutable output : string;  (** A line that hasn't ended. *)
  mutable lines : (int * string) list;
  mutable on_line : (string -> unit) list;
  mutable ended : bool;
  mutable starts_again : bool;  (** When the process has ended that was requested to stop. *)
}

type operations = { begun : int; returned : int; most : int; last : int }
type sometimes = { what : string; holds : unit -> bool; mutable times : int }

type t = {
  settings : Settings.t;
  ends : int;
  seed : Generate.t;
  order : Generate.t;
  network : Network.t;
  names : Names.t;
  events : Events.t;
  queue : (unit -> unit) Heap.t;
  mutable now : int;
  mutable nodes : node list;  (** The last one first. *)
  mutable nats : Nat.t list;
  mutable always : (string * (unit -> bool)) list;
  mutable sometimes : sometimes list;
  strikes : (string, int list) Hashtbl.t;  (** Their times, the last one first. *)
  mutable operations : operations;
  mutable debugger : int option;  (** A process. *)
}

let create (settings : Settings.t) ~ends ~quality =
  let seed = Generate.create settings.seed in
  {
    settings;
    ends = Option.value settings.until ~default:ends;
    seed;
    order = Generate.derive seed 1;
    network = Network.create (Generate.derive seed 2) quality;
    names = Names.create ();
    events = Events.create settings.trace;
    queue = Heap.create ();
    now = 0;
    nodes = [];
    nats = [];
    always = [];
    sometimes = [];
    strikes = Hashtbl.create 8;
    operations = { begun = 0; returned = 0; most = 0; last = 0 };
    debugger = None;
  }

let now w = w.now
let ends w = w.ends
let rng w = Generate.split w.seed
let network w = w.network
let names w = w.names
let events w = w.events
let settings w = w.settings
let nodes w = List.rev w.nodes
let at w time f = Heap.add w.queue ~at:(max time w.now) ~order:(Generate.int w.order max_int) f

let begin_operation w ~of_client =
  let { begun; most; _ } = w.operations in
  w.operations <- { w.operations with begun = begun + 1; most = max most of_client; last = w.now };
  begun + 1

let end_operation w ~has_result =
  let returned = w.operations.returned + Bool.to_int has_result in
  w.operations <- { w.operations with returned; last = w.now }

let operations w = w.operations
let index n = n.index
let name n = n.name
let lines n = n.lines
let is_up n = n.process <> None
let has_ended n = n.ended
let clock n = n.clock
let disks n = n.disks
let log w kind fields = Events.add w.events ~at:w.now kind fields
let of_node w kind n fields = log w kind (("node", Events.Text n.name) :: fields)
let fail_with ~nondeterministic ~check message = raise (Failed { check; message; nondeterministic })
let fail ~check message = fail_with ~nondeterministic:false ~check message
let network_of index = [ ("SOIL_IP", Network.address index ^ "/24"); ("SOIL_DNS", Names.address) ]

(* The names of all nodes, for programs that read hosts(5). *)
let hosts w =
  let host n = Printf.sprintf "%s=%s" n.name (Network.address n.index) in
  ("SOIL_SIMULATION_HOSTS", String.concat ";" (List.map host (nodes w)))

(* Nodes and routers have their numbers, and so their addresses, in the order of creation. *)
let count w = List.length w.nodes + List.length w.nats

let add_number w name =
  let names = List.map (fun n -> n.name) w.nodes @ List.map Nat.name w.nats in
  if List.mem name names then
    failwith (Printf.sprintf "two nodes have the name %s: give each its own" name);
  count w

let add w ~name ~variables ~disks ~memory ~at_exit ~on_note program =
  let index = add_number w name in
  let node =
    {
      index;
      name;
      program;
      variables = network_of index @ variables;
      memory;
      at_exit;
      on_note;
      disks = List.map (fun (name, image) -> Disk.create ~name image) disks;
      clock = Clock.create ();
      rng = Generate.derive w.seed (1000 + index);
      process = None;
      starts = 0;
      power_cuts = 0;
      inbox = [];
      next_turn = max_int;
      until = max_int;
      not_before = 0;
      paused = false;
      late = false;
      stops = 0;
      strikes_due = [];
      output = "";
      lines = [];
      on_line = [];
      ended = false;
      starts_again = false;
    }
  in
  w.nodes <- node :: w.nodes;
  Names.set w.names name (Some (Network.address index));
  node

let add_nat w ~name ~idle ~most nodes =
  if most < 1 || most > Nat.max_mappings then
    failwith (Printf.sprintf "%s: ~most is 1 to %d mappings" name Nat.max_mappings);
  let index = add_number w name in
  let put n =
    if Network.router w.network n.index <> None then
      failwith (Printf.sprintf "%s is behind two routers: give it one" n.name);
    Network.put_behind w.network ~router:index n.index
  in
  List.iter put nodes;
  let inside = List.map (fun n -> n.index) nodes in
  let outside i = i <> index && i < count w && Network.router w.network i = None in
  let rng = Generate.derive w.seed (1000 + index) in
  let nat = Nat.create rng ~index ~name ~idle ~most ~inside ~outside in
  w.nats <- nat :: w.nats;
  nat

(* Output *)

let on_line n f = n.on_line <- f :: n.on_line

let line w n text =
  n.lines <- (w.now, text) :: n.lines;
  List.iter (fun f -> f text) n.on_line;
  of_node w "log" n [ ("text", Text text) ]

let print w n text =
  match List.rev (String.split_on_char '\n' (n.output ^ text)) with
  | [] -> ()
  | rest :: whole ->
      n.output <- rest;
      List.iter (line w n) (List.rev whole)

(* What a failed process wrote last. *)
let last_lines n =
  let rec first k = function x :: rest when k > 0 -> x :: first (k - 1) rest | _ -> [] in
  let lines = List.rev (List.map snd (first 6 n.lines)) in
  String.concat "\n" (List.map (( ^ ) "  ") (lines @ if n.output = "" then [] else [ n.output ]))

(* Ends of processes *)

let gone w n reason =
  match n.process with
  | None -> None
  | Some process ->
      n.process <- None;
      n.next_turn <- max_int;
      n.inbox <- [];
      n.strikes_due <- [];
      let ended =
        match reason with
        | `Ended -> Process.ended process
        | `Killed ->
            Process.kill process;
            (* It may have ended by itself since its last message, as fast as the machine let it. *)
            ignore (Process.ended process);
            Some "SIGKILL"
      in
      of_node w "exit" n [ ("how", Text (Option.value ended ~default:"status 0")) ];
      ended

let kill w n = ignore (gone w n `Killed)

let lose_power ~torn w n =
  kill w n;
  n.power_cuts <- n.power_cuts + 1;
  List.iter (fun disk -> Disk.lose_power disk n.rng ~torn) n.disks

let struck w name = Option.value (Hashtbl.find_opt w.strikes name) ~default:[]
let strikes w = List.sort compare (List.of_seq (Hashtbl.to_seq w.strikes))
let delayed w name = Hashtbl.replace w.strikes name (struck w name)

let at_message w n ~name messages f =
  delayed w name;
  let strike () =
    Hashtbl.replace w.strikes name (w.now :: struck w name);
    of_node w "log" n [ ("text", Text ("(" ^ name ^ ")")) ];
    f ()
  in
  let due = { messages = max 1 messages; strike } in
  if is_up n then n.strikes_due <- n.strikes_due @ [ due ];
  fun () -> n.strikes_due <- List.filter (( != ) due) n.strikes_due

let strike n =
  List.iter (fun due -> due.messages <- due.messages - 1) n.strikes_due;
  let now, later = List.partition (fun due -> due.messages = 0) n.strikes_due in
  n.strikes_due <- later;
  List.iter (fun due -> due.strike ()) now

(* Turns *)

let debug w n =
  match w.settings.debugger with
  | Some (name, time) when name = n.name && time <= w.now && w.debugger = None -> (
      match n.process with
      | None -> ()
      | Some process ->
          let pid = string_of_int (Process.pid process) in
          let arguments = [| "gdb"; "-q"; "-p"; pid |] in
          let start () = Unix.create_process "gdb" arguments Unix.stdin Unix.stdout Unix.stderr in
          (match start () with
          | debugger -> w.debugger <- Some debugger
          | exception Unix.Unix_error (error, _, _) ->
              failwith ("gdb: " ^ Unix.error_message error ^ ": install the package gdb"));
          (* It attaches while the process waits for its turn. *)
          Unix.sleepf 1.)
  | _ -> ()

(* The least time that a turn takes, in nanoseconds, and what is added at random. *)
let turn_ns = 2_000
let turn_jitter_ns = 8_000

let rec schedule w n time =
  let time = max time n.not_before in
  if is_up n && time < n.next_turn then (
    n.next_turn <- time;
    let starts = n.starts in
    let turn () = if n.starts = starts && n.next_turn = time && is_up n then resume w n in
    at w time turn)

and resume w n =
  n.next_turn <- max_int;
  n.late <- n.paused;
  if not n.paused then
    match n.process with
    | None -> ()
    | Some process ->
        debug w n;
        let events = List.rev n.inbox in
        n.inbox <- [];
        let monotonic = Clock.monotonic n.clock w.now and wall = Clock.wall n.clock w.now in
        Wire.resume (Process.wire process) ~monotonic ~wall ~stops:n.stops events;
        listen w n process

(* Takes the messages of a turn. *)
and listen w n process =
  let message = Wire.receive (Process.wire process) in
  if message <> Closed then strike n;
  if is_up n then
    match message with
    | Wait { now; until } ->
        let spent = turn_ns + Generate.int n.rng turn_jitter_ns in
        n.not_before <- max n.not_before (max w.now (Clock.time_of n.clock now) + spent);
        n.until <- until;
        of_node w "wait" n [ ("until", Int until) ];
        if n.inbox <> [] then schedule w n w.now
        else if until < max_int then schedule w n (Clock.time_of n.clock until)
    | Closed -> closed w n
    | message ->
        take w n message;
        listen w n process

and take w n (message : Wire.message) =
  match message with
  | Attached version ->
      if version <> Wire.version then
        fail ~check:n.name "is linked with another version of Soil: rebuild it"
  | Frame frame -> send w n frame
  | Disk { disk; operation; number; sector; count; data } ->
      request w n ~disk operation ~number ~sector ~count ~data
  | Console (_, text) -> print w n text
  | Unowned call ->
      of_node w "unowned" n [ ("call", Text call) ];
      fail_with ~nondeterministic:true ~check:n.name ("calls " ^ call)
  | Note text ->
      Events.bytes w.events text;
      n.on_note text
  | Exit status -> of_node w "ends" n [ ("status", Int status) ]
  | Wait _ | Closed -> ()

and closed w n =
  match (gone w n `Ended, n.at_exit) with
  | None, _ -> ended w n
  | Some how, _ when n.stops > 0 && Process.is_stopped how -> ended w n
  | Some how, Fails -> fail ~check:n.name (Printf.sprintf "ended by %s\n%s" how (last_lines n))
  | Some _, Restarts after ->
      let starts = n.starts in
      at w (w.now + after) (fun () -> if n.starts = starts then start w n)

and ended w n =
  n.ended <- true;
  if n.starts_again then start w n

and send w n frame =
  transmit w ~origin:n.index ~from:n.index frame;
  let reply (after, frame) = at w (w.now + after) (fun () -> deliver w n (Wire.Arrived frame)) in
  Option.iter reply (Names.answer w.names frame)

and transmit w ~origin ~from frame =
  Events.bytes w.events frame;
  let fates = Network.carry w.network ~now:w.now ~origin ~from ~nodes:(count w) frame in
  let one (into, fates) =
    let fate = function
      | Network.Lost why -> sent w ~from ~into frame [ ("why", Events.Text why) ]
      | Arrives (time, arrived) ->
          sent w ~from ~into frame [ ("at", Events.Int time) ];
          at w time (fun () -> arrive w ~from ~into arrived)
    in
    List.iter fate fates
  in
  List.iter one fates

and sent w ~from ~into frame how =
  let name i =
    match List.find_opt (fun n -> n.index = i) w.nodes with
    | Some n -> n.name
    | None -> Nat.name (List.find (fun nat -> Nat.index nat = i) w.nats)
  in
  log w "send"
    (("from", Events.Text (name from))
    :: ("to", Events.Text (name into))
    :: ("bytes", Events.Int (String.length frame))
    :: ("what", Events.Shown (fun () -> Network.describe frame))
    :: how)

and arrive w ~from ~into frame =
  match List.find_opt (fun nat -> Nat.index nat = into) w.nats with
  | None -> deliver w (List.find (fun n -> n.index = into) w.nodes) (Wire.Arrived frame)
  | Some nat -> (
      match Nat.route nat ~now:w.now ~from frame with
      | Ignores -> ()
      | Drops -> sent w ~from ~into frame [ ("why", Events.Text "nat") ]
      | Sends frame -> transmit w ~origin:from ~from:into frame
      | Answers frame -> transmit w ~origin:into ~from:into frame)

and deliver w n event =
  if is_up n then (
    n.inbox <- event :: n.inbox;
    schedule w n w.now)

and request w n ~disk:index operation ~number ~sector ~count ~data =
  match List.nth_opt n.disks index with
  | None -> fail ~check:n.name (Printf.sprintf "uses disk %d, which it doesn't have" index)
  | Some disk ->
      let starts = n.starts and power_cuts = n.power_cuts in
      let until = w.now + Disk.duration disk n.rng operation ~count in
      let name =
        match operation with
        | Read -> "read"
        | Write -> "write"
        | Flush -> "flush"
        | Discard -> "discard"
        | Zero -> "zero"
        | Write_durably -> "durable write"
      in
      of_node w "disk" n
        [ ("what", Text name); ("sector", Int sector); ("count", Int count); ("until", Int until) ];
      Events.bytes w.events data;
      let complete () =
        (* A power cut loses the requests that the disk hadn't begun. *)
        if n.power_cuts = power_cuts then
          let status, data = Disk.execute disk n.rng operation ~sector ~count ~data in
          if n.starts = starts then deliver w n (Completed { disk = index; number; status; data })
      in
      at w until complete

and start w n =
  if not (is_up n) then (
    let program = n.program in
    n.starts <- n.starts + 1;
    n.stops <- 0;
    n.paused <- false;
    n.next_turn <- max_int;
    n.until <- max_int;
    n.not_before <- w.now;
    n.output <- "";
    n.ended <- false;
    n.starts_again <- false;
    of_node w "start" n [];
    let process = Process.start program (hosts w :: n.variables) in
    n.process <- Some process;
    let rng = Generate.derive n.rng n.starts in
    let seed = String.init 32 (fun _ -> Char.chr (Generate.int rng 256)) in
    Wire.start (Process.wire process) ~seed ~monotonic:(Clock.monotonic n.clock w.now)
      ~wall:(Clock.wall n.clock w.now) ~memory:n.memory ~mac:(Network.mac n.index)
      (List.map Disk.describe n.disks);
    match Wire.receive (Process.wire process) with
    | Attached _ as message ->
        take w n message;
        listen w n process
    | _ ->
        ignore (gone w n `Killed);
        fail ~check:n.name
          "its program isn't one of Soil, or ended before it began: give (libraries soil), and a \
           program that calls Soil.run; programs without Soil need ~unmodified:true")

(* A program may stop more slowly than the request to stop lasts. *)
let start_again w n = if is_up n then n.starts_again <- n.stops > 0 else start w n
let pause n = n.paused <- true

let go_on w n =
  n.paused <- false;
  if n.late then schedule w n w.now

(* A clock that is faster now ends the wait sooner. *)
let drift w n ppm =
  Clock.drift n.clock ~now:w.now ppm;
  if n.until < max_int then schedule w n (Clock.time_of n.clock n.until)

let stop w n =
  n.stops <- n.stops + 1;
  schedule w n w.now

(* Checks *)

let always w name holds = w.always <- (name, holds) :: w.always
let sometimes w what holds = w.sometimes <- { what; holds; times = 0 } :: w.sometimes
let seen w = List.rev_map (fun s -> (s.what, s.times)) w.sometimes

let check w =
  let check (name, holds) =
    if not (holds ()) then fail ~check:name (Printf.sprintf "doesn't hold at %d ns" w.now)
  in
  List.iter check w.always;
  List.iter (fun s -> if s.holds () then s.times <- s.times + 1) w.sometimes

let rec pass w =
  let time = Heap.next w.queue in
  if time <= w.ends && time < max_int then (
    w.now <- max w.now time;
    (Heap.take w.queue) ();
    check w;
    pass w)
  else w.now <- w.ends

let run w =
  let finish () =
    List.iter (fun n -> kill w n) w.nodes;
    let wait pid = ignore (Unix.waitpid [] pid) in
    Option.iter wait w.debugger
  in
  if w.nodes = [] then failwith "the world has no nodes: add one by Soil_sim.node or Soil_sim.task";
  Fun.protect ~finally:finish @@ fun () ->
  List.iter (fun n -> at w (Generate.int w.order 1_000_000) (fun () -> start w n)) (nodes w);
  pass w
