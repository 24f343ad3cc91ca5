type node = World.node
type nat = Nat.t
type t = { name : string; inject : World.t -> Generate.t -> (string * (unit -> unit)) option }

let name t = t.name
let inject t = t.inject
let make ~name inject = { name; inject }

let pick rng = function
  | [] -> None
  | list -> Some (List.nth list (Generate.int rng (List.length list)))

let names nodes = String.concat " " (List.map World.name nodes)
let nothing () = ()

(* A fault of one of [nodes] for which [suits]. *)
let of_one ?(suits = fun _ -> true) name nodes f =
  make ~name (fun world rng ->
      Option.bind (pick rng (List.filter suits nodes)) (fun node -> f world rng node))

(* Networks *)

let partition nodes =
  make ~name:"partition" (fun world rng ->
      let sides = List.map (fun node -> (node, Generate.bool rng)) nodes in
      match List.partition snd sides with
      | [], _ | _, [] -> None
      | left, right ->
          let left = List.map fst left and right = List.map fst right in
          let is side i = List.exists (fun node -> World.index node = i) side in
          let apart a b = (is left a && is right b) || (is right a && is left b) in
          let heal = Network.block (World.network world) ~reason:"partition" apart in
          Some (names left ^ " | " ^ names right, heal))

let isolate nodes =
  of_one "isolate" nodes (fun world _ node ->
      let i = World.index node in
      let concerns a b = a = i || b = i in
      let heal = Network.block (World.network world) ~reason:"isolated" concerns in
      Some (World.name node, heal))

let one_way nodes =
  of_one "one way" nodes (fun world rng from ->
      let others = List.filter (fun node -> node != from) nodes in
      let block into =
        let lost a b = a = World.index from && b = World.index into in
        let heal = Network.block (World.network world) ~reason:"one way" lost in
        (World.name from ^ " to " ^ World.name into, heal)
      in
      Option.map block (pick rng others))

let change_quality name nodes ?(outwards = true) change =
  of_one name nodes (fun world _ node ->
      let network = World.network world and i = World.index node in
      let inwards = Network.set_quality network ~into:i change in
      let outwards = if outwards then Network.set_quality network ~from:i change else nothing in
      let heal () =
        inwards ();
        outwards ()
      in
      Some (World.name node, heal))

let slow_link ?(factor = 50) nodes =
  change_quality "slow link" nodes (fun q ->
      { q with latency = q.latency * factor; jitter = q.jitter * factor })

let lossy ?(share = 0.2) nodes = change_quality "loss" nodes (fun q -> { q with loss = share })

let unordered ?(share = 0.2) nodes =
  change_quality "reordering" nodes (fun q -> { q with reorder = share; duplicate = share /. 2. })

let corrupt ?(share = 0.05) nodes =
  change_quality "corruption" nodes (fun q -> { q with corrupt = share })

let slow_reader ?(bandwidth = 2_000) nodes =
  change_quality "slow reader" nodes ~outwards:false (fun q -> { q with bandwidth })

let nat_forgets nats =
  of_one "nat forgets" nats
    ~suits:(fun nat -> not (Nat.is_empty nat))
    (fun _ _ nat ->
      Nat.forget nat;
      Some (Nat.name nat, nothing))

(* Names *)

let of_names name set unset =
  make ~name (fun world _ ->
      let trouble = Names.trouble (World.names world) in
      set trouble;
      Some ("name server", fun () -> unset trouble))

let late_names ?(seconds = 4.) () =
  let late = int_of_float (seconds *. 1e9) in
  of_names "late names" (fun t -> t.late <- late) (fun t -> t.late <- 0)

let silent_names () =
  of_names "silent names" (fun t -> t.silent <- true) (fun t -> t.silent <- false)

let wrong_names nodes =
  of_one "wrong names" nodes (fun world rng node ->
      let trouble = Names.trouble (World.names world) and name = World.name node in
      let lie other =
        trouble.lies <- [ (name, Network.address (World.index other)) ];
        let heal () = trouble.lies <- [] in
        (Printf.sprintf "%s is %s" name (World.name other), heal)
      in
      Option.map lie (pick rng (List.filter (fun other -> other != node) nodes)))

(* Processes *)

(* A program that has ended by itself stays down. *)
let restart world node () = if not (World.has_ended node) then World.start world node

let kill nodes =
  of_one "kill" nodes ~suits:World.is_up (fun world _ node ->
      World.kill world node;
      Some (World.name node, restart world node))

(* Most of what a fault may interrupt happens close to messages: between a write and its flush, between
   two frames. *)
let strike ~name nodes f ~struck =
  of_one name nodes ~suits:World.is_up (fun world rng node ->
      let messages = 1 + Generate.int rng 40 in
      let take_back = World.at_message world node ~name messages (fun () -> f world node) in
      let heal () =
        take_back ();
        List.iter (fun node -> restart world node ()) (struck node)
      in
      Some (Printf.sprintf "%s, at its message %d from there" (World.name node) messages, heal))

let itself node = [ node ]
let kill_during nodes = strike ~name:"kill in a turn" nodes World.kill ~struck:itself

let power_cut ?(torn = false) nodes =
  strike ~name:"power cut" nodes (World.lose_power ~torn) ~struck:itself

let power_cut_of_all ?(torn = false) nodes =
  let cut world _ = List.iter (World.lose_power ~torn world) nodes in
  strike ~name:"power cut of all" nodes cut ~struck:(fun _ -> nodes)

let pause nodes =
  of_one "pause" nodes ~suits:World.is_up (fun world _ node ->
      World.pause node;
      let heal () = World.go_on world node in
      Some (World.name node, heal))

let stop nodes =
  of_one "stop" nodes ~suits:World.is_up (fun world _ node ->
      World.stop world node;
      Some (World.name node, fun () -> World.start_again world node))

(* Clocks *)

let second = 1_000_000_000

let clock_step ?(most = 60.) nodes =
  of_one "clock step" nodes (fun _ rng node ->
      let seconds = Generate.float rng (2. *. most) -. most in
      Clock.step (World.clock node) (int_of_float (seconds *. 1e9));
      Some (Printf.sprintf "%s by %.3f s" (World.name node) seconds, nothing))

let clock_drift ?(most = 50_000) nodes =
  of_one "clock drift" nodes (fun world rng node ->
      let ppm = Generate.int rng ((2 * most) + 1) - most in
      World.drift world node ppm;
      let heal () = World.drift world node 0 in
      Some (Printf.sprintf "%s by %d ppm" (World.name node) ppm, heal))

let leap_second nodes =
  make ~name:"leap second" (fun _ _ ->
      List.iter (fun node -> Clock.step (World.clock node) (-second)) nodes;
      Some (names nodes, nothing))

(* Disks *)

let has_disk node = World.disks node <> []

let trouble name nodes set =
  of_one name nodes ~suits:has_disk (fun _ _ node ->
      let each value = List.iter (fun disk -> set (Disk.trouble disk) value) (World.disks node) in
      each true;
      Some (World.name node, fun () -> each false))

let slow_disk ?(factor = 100) nodes =
  trouble "slow disk" nodes (fun t on -> t.slow <- (if on then factor else 1))

let disk_errors ?(share = 0.05) nodes =
  trouble "disk errors" nodes (fun t on -> t.errors <- (if on then share else 0.))

let full_disk nodes = trouble "full disk" nodes (fun t on -> t.full <- on)

let bit_rot nodes =
  of_one "bit rot" nodes ~suits:has_disk (fun _ rng node ->
      let rot disk = Some (World.name node ^ ": " ^ Disk.rot disk rng, nothing) in
      Option.bind (pick rng (World.disks node)) rot)
