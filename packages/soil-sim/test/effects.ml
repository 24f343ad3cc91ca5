(* For each fault, by the first argument, a program that notices its effect. A run without the effect
   fails, such as one without faults. *)

open Soil_sim

let say = Printf.printf "%s\n%!"

let for_ever pause f =
  while true do
    Soil.Clock.sleep pause;
    f ()
  done

let starts () =
  say "start";
  Fun.protect ~finally:(fun () -> say "end") (fun () -> for_ever 1. ignore)

let starts_and_writes files () =
  say "start";
  files ()

(* The wall clock beside the monotonic one, in tenths of a second. *)
let clocks () =
  let ahead () = Soil.Clock.now () -. Soil.Clock.monotonic () in
  let last = ref (ahead ()) in
  for_ever 0.2 (fun () ->
      let now = ahead () in
      if now < !last -. 0.9 then say "backwards";
      if Float.abs (now -. !last) > 0.01 then say "step";
      last := now)

let ticks () = for_ever 1. (fun () -> say "tick")

(* A sleep ends in time by the node's own clock, also if the clock's speed changes meanwhile. *)
let sleeps () =
  let woken = ref (Soil.Clock.monotonic ()) in
  for_ever 1. (fun () ->
      let now = Soil.Clock.monotonic () in
      say (if now -. !woken > 1.01 then "late" else "tick");
      woken := now)

let files () =
  let write n =
    let began = Soil.Clock.monotonic () in
    try
      Soil.Fs.write_file "/data/file" (String.make 40_000 (Char.chr (65 + (n mod 26))));
      Soil.Fs.sync_volume "/data/file";
      if Soil.Clock.monotonic () -. began > 0.2 then say "slow"
    with Soil.Error { code; _ } ->
      say (match code with No_space -> "no space" | Io -> "error" | _ -> "other")
  in
  let n = ref 0 in
  for_ever 0.3 (fun () ->
      incr n;
      write !n)

let sector = 512

(* Whether a sector has one letter only, which is written over and over. *)
let sectors () =
  Soil.Block.with_disk "data" @@ fun disk ->
  let b = Soil.Block.buffer sector in
  let n = ref 0 in
  let read () =
    Soil.Block.read disk ~first_sector:8 b 0 sector;
    for i = 1 to sector - 1 do
      if Bigarray.Array1.get b i <> Bigarray.Array1.get b 0 then n := i
    done;
    if !n > 0 then say "mixed";
    n := 0
  in
  read ();
  let rec write letter =
    Bigarray.Array1.fill b letter;
    Soil.Block.write disk ~first_sector:8 b 0 sector;
    Soil.Clock.sleep 0.05;
    read ();
    write (if letter = 'a' then 'b' else 'a')
  in
  write 'a'

let receive ?timeout socket =
  let b = Bytes.create 100 in
  let n, from = Soil.Udp.receive ?timeout socket b 0 100 in
  (Bytes.sub_string b 0 n, from)

let echo () =
  let socket = Soil.Udp.bind ~port:7 () in
  while true do
    let text, from = receive socket in
    Soil.Udp.send_string socket from text
  done

let serve () =
  Soil.Task.scope @@ fun scope ->
  ignore (Soil.Task.spawn scope echo);
  Soil.Tcp.serve (Soil.Tcp.listen ~port:7 ()) @@ fun conn ->
  Soil.File_descriptor.write_string conn "x";
  ignore (Soil.File_descriptor.copy ~src:conn ~dst:conn ())

let peer = Soil.Net.Endpoint.of_string "10.0.0.2:7"

let connect () =
  for_ever 0.3 (fun () ->
      let began = Soil.Clock.monotonic () in
      match Soil.Tcp.connect ~timeout:1. peer with
      | conn ->
          Soil.File_descriptor.close conn;
          if Soil.Clock.monotonic () -. began > 0.005 then say "slow"
      | exception Soil.Error _ -> say "lost")

(* Bursts of numbered datagrams, which come back. *)
let bursts () =
  let socket = Soil.Udp.bind ~port:8 () in
  let rec answers last =
    match receive ~timeout:0.1 socket with
    | exception Soil.Error _ -> ()
    | text, _ ->
        let n = int_of_string text in
        if n = last then say "twice" else if n < last then say "disorder";
        answers (max n last)
  in
  for_ever 0.3 (fun () ->
      for n = 1 to 10 do
        Soil.Udp.send_string socket peer (string_of_int n)
      done;
      answers 0)

(* A connection that is idle most of the time. *)
let converse () =
  let byte = Bytes.create 1 in
  let exchange conn =
    for_ever 1. (fun () ->
        Soil.File_descriptor.write_string conn "x";
        ignore (Soil.Task.timeout 10. (fun () -> Soil.File_descriptor.read conn byte 0 1)))
  in
  for_ever 1. (fun () ->
      try Soil.Tcp.with_connection peer exchange
      with Soil.Error { code = Connection_reset; _ } -> say "reset")

let lookup () =
  for_ever 1. (fun () ->
      let began = Soil.Clock.monotonic () in
      match Soil.Dns.lookup ~family:`V4 ~timeout:8. "peer" with
      | addresses ->
          if not (List.exists (fun a -> Soil.Net.Address.to_string a = "10.0.0.2") addresses) then
            say "wrong";
          if Soil.Clock.monotonic () -. began > 1. then say "late"
      | exception Soil.Error _ -> say "none")

let count word node =
  List.length (List.filter (fun (_, line) -> String.equal line word) (lines node))

let said word node = count word node > 0

(* Some second of the node isn't one of the others'. *)
let drifts node =
  let rec irregular = function
    | (later, _) :: ((earlier, _) :: _ as rest) ->
        abs (later - earlier - 1_000_000_000) > 1_000_000 || irregular rest
    | _ -> false
  in
  irregular (lines node)

let ext4 = [ ("data", Ext4 (mib 16)) ]
let raw = [ ("data", Blank (mib 1)) ]

(* A fault of the subject, and one of a network in which the subject is behind a router. *)
let of_subject fault _ subject _ = fault [ subject ]
let of_both fault _ subject peer = fault [ peer; subject ]

let behind_nat fault world subject peer =
  fault (nat world ~name:"router" [ subject ]) [ subject; peer ]

(* The disks and the program of a node, its fault, and the effect. *)
let cases :
    (string
    * ((string * image) list
      * (unit -> unit)
      * (world -> node -> node -> Faults.t)
      * (node -> bool)))
    list =
  let restarted node = count "start" node > 1 in
  let power_cut = of_subject (fun n -> Faults.power_cut n) in
  let forgets = behind_nat (fun nat _ -> Faults.nat_forgets [ nat ]) in
  let partition_of_both = behind_nat (fun _ nodes -> Faults.partition nodes) in
  [
    ("kill", ([], starts, of_subject Faults.kill, fun n -> restarted n && not (said "end" n)));
    ("stop", ([], starts, of_subject Faults.stop, fun n -> restarted n && said "end" n));
    ("power cut", (ext4, starts_and_writes files, power_cut, restarted));
    ( "power cut of all",
      (ext4, starts_and_writes files, of_subject (fun n -> Faults.power_cut_of_all n), restarted) );
    ("kill in a turn", (ext4, starts_and_writes files, of_subject Faults.kill_during, restarted));
    ("torn sectors", (raw, sectors, of_subject (Faults.power_cut ~torn:true), said "mixed"));
    ("bit rot", (raw, sectors, of_subject Faults.bit_rot, said "mixed"));
    ("disk errors", (ext4, files, of_subject (Faults.disk_errors ~share:0.5), said "error"));
    ("slow disk", (ext4, files, of_subject (fun n -> Faults.slow_disk n), said "slow"));
    ("full disk", (ext4, files, of_subject Faults.full_disk, said "no space"));
    ("clock step", ([], clocks, of_subject (fun n -> Faults.clock_step n), said "step"));
    ("leap second", ([], clocks, of_subject Faults.leap_second, said "backwards"));
    ( "clock drift",
      ( [],
        sleeps,
        of_subject (fun n -> Faults.clock_drift n),
        fun n -> drifts n && not (said "late" n) ) );
    ("pause", ([], ticks, of_subject Faults.pause, drifts));
    ("isolate", ([], connect, of_subject Faults.isolate, said "lost"));
    ("partition", ([], connect, of_both Faults.partition, said "lost"));
    ("one way", ([], connect, of_both Faults.one_way, said "lost"));
    ("slow reader", ([], connect, of_subject (fun n -> Faults.slow_reader n), said "slow"));
    ("corruption", ([], connect, of_subject (Faults.corrupt ~share:1.), said "lost"));
    ( "reordering",
      ( [],
        bursts,
        of_subject (fun n -> Faults.unordered n),
        fun n -> said "disorder" n && said "twice" n ) );
    ("slow link", ([], connect, of_subject (fun n -> Faults.slow_link n), said "slow"));
    ("loss", ([], connect, of_subject (Faults.lossy ~share:1.), said "lost"));
    ("partition through a nat", ([], connect, partition_of_both, said "lost"));
    ("nat forgets", ([], converse, forgets, said "reset"));
    ("late names", ([], lookup, of_subject (fun _ -> Faults.late_names ()), said "late"));
    ("silent names", ([], lookup, of_subject (fun _ -> Faults.silent_names ()), said "none"));
    ("wrong names", ([], lookup, of_both Faults.wrong_names, said "wrong"));
  ]

let () =
  let name = Sys.argv.(1) in
  let disks, program, fault, has_effect = List.assoc name cases in
  main ~duration:(seconds 120.) ~calm:(seconds 1.) @@ fun world ->
  let node = task world ~name:"subject" ~disks program in
  let peer = task world ~name:"peer" serve in
  every world ~lasting:(seconds 8.) (seconds 10.) (fault world node peer);
  finally world (fun () -> if not (has_effect node) then fail "effect" "isn't seen")
