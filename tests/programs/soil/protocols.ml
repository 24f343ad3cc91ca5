(* Protocols beside TCP. The arguments are a command and its own arguments; events are printed, line
   by line, for the test that plays the other end. *)
module D = Soil.File_descriptor
module N = Soil.Net

let say fmt = Printf.ksprintf print_endline fmt
let address = N.Address.of_string

let attempt name f =
  match f () with
  | text -> say "%s: %s" name text
  | exception Soil.Error e -> say "%s: %s" name (Soil.Error.message e.code)

let hear ?(timeout = 20.) d =
  let b = Bytes.create 2000 in
  let n, from = Soil.Udp.receive ~timeout d b 0 2000 in
  (Bytes.sub_string b 0 n, from)

(* Hears a group until it leaves it, and what is sent to all. *)
let join group port =
  let d = Soil.Udp.bind ~port () in
  Soil.Udp.join d group;
  Soil.Udp.join d group;
  say "joined";
  attempt "heard" (fun () ->
      let text, from = hear d in
      text ^ " from " ^ N.Address.to_string from.address);
  Soil.Udp.leave d group;
  attempt "leave again" (fun () ->
      Soil.Udp.leave d group;
      "done");
  say "left";
  attempt "afterwards" (fun () -> fst (hear ~timeout:1.5 d))

let send_all port targets =
  let d = Soil.Udp.bind ~port:0 () in
  Soil.Udp.set_multicast_hops d 3;
  List.iter
    (fun target ->
      attempt ("sent to " ^ target) (fun () ->
          Soil.Udp.send_string d (N.endpoint (address target) port) ("for " ^ target);
          "yes"))
    targets;
  (* An IPv6 address can't be used before duplicate address detection has ended (RFC 4862, 5.4),
     which a stall of the machine delays: of many naps it takes up one. *)
  for _ = 1 to 50 do
    Soil.Clock.sleep 0.05
  done

(* Answers each frame of a type of its own to its sender; the first is to all. *)
let ethernet count =
  let d = Soil.Ethernet.open_ 0x88b5 in
  attempt "again" (fun () ->
      D.close (Soil.Ethernet.open_ 0x88b5);
      "open");
  attempt "IPv4" (fun () ->
      D.close (Soil.Ethernet.open_ 0x800);
      "open");
  let text = "to everybody" in
  Soil.Ethernet.send d ~destination:Soil.Net.Mac.broadcast (Bytes.of_string text) 0
    (String.length text);
  let own = (List.hd (N.interfaces ())).mac in
  say "open on %s" (N.Mac.to_string own);
  let b = Bytes.create 2000 in
  for _ = 1 to count do
    let frame = Soil.Task.timeout 20. (fun () -> Soil.Ethernet.receive d b 0 2000) in
    say "frame of %d from %s to %s" frame.length (N.Mac.to_string frame.source)
      (if frame.destination = own then "me" else N.Mac.to_string frame.destination);
    Soil.Ethernet.send d ~destination:frame.source b 0 frame.length
  done;
  attempt "too long" (fun () ->
      Soil.Ethernet.send d ~destination:Soil.Net.Mac.broadcast b 0 1501;
      "sent");
  attempt "in time" (fun () ->
      match Soil.Task.timeout_opt 0.1 (fun () -> Soil.Ethernet.receive d b 0 2000) with
      | Some frame -> string_of_int frame.length
      | None -> "timed out")

(* A connected socket learns what ICMP says, once; others hear nothing of it. *)
let errors target port =
  let e = N.endpoint (address target) port in
  let tell timeout d =
    attempt "receive" (fun () -> fst (hear ~timeout d));
    attempt "once more" (fun () -> fst (hear ~timeout:0.3 d))
  in
  let unconnected = Soil.Udp.bind ~port:0 () in
  Soil.Udp.send_string unconnected e "x";
  tell 1.5 unconnected;
  (* Another port: an error that the first one's datagram causes later isn't for this one. *)
  let d = Soil.Udp.bind ~port:0 () in
  Soil.Udp.connect d (Some e);
  Soil.Udp.send_string d e "x";
  tell 20. d;
  let rec told n =
    Soil.Udp.send_string d e "x";
    if n = 0 then "sent"
    else (
      Soil.Clock.sleep 0.05;
      told (n - 1))
  in
  attempt "send" (fun () -> told 400);
  attempt "tcp" (fun () ->
      D.close (Soil.Tcp.connect ~timeout:20. e);
      "connected")

(* Again, [tries] times, where the neighbour can't be reached. *)
let ping ?(tries = 0) targets =
  List.iter
    (fun target ->
      attempt ("ping " ^ target) @@ fun () ->
      Patience.insist ~tries (fun () ->
          let before = Soil.Clock.monotonic_ns () in
          let reply = Soil.Icmp.ping ~timeout:20. ~length:1000 (address target) in
          let whole = float_of_int (Soil.Clock.monotonic_ns () - before) /. 1e9 in
          if reply.time >= 0. && reply.time <= whole then
            "answered, hop limit " ^ string_of_int reply.hop_limit
          else "a time that can't be"))
    targets

(* Puts the rules in force that come as datagrams, one a line. *)
let filter () =
  let echo c = ignore (D.copy ~src:c ~dst:c ()) in
  let d = Soil.Udp.bind ~port:9 () in
  let rec rules () =
    let text, from = hear ~timeout:60. d in
    attempt "rules" (fun () ->
        N.filter (String.split_on_char '\n' text);
        "in force");
    Soil.Udp.send_string d from "done";
    rules ()
  in
  N.wait_up ();
  let seven = Soil.Tcp.listen ~port:7 () and eight = Soil.Tcp.listen ~port:8 () in
  say "ready";
  let serve listener () = Soil.Tcp.serve listener echo in
  ignore (Soil.Task.all [ serve seven; serve eight; rules ])

let route network gateway target =
  let network, length =
    match String.split_on_char '/' network with
    | [ n; l ] -> (address n, int_of_string l)
    | _ -> failwith network
  in
  let show () =
    let one (r : Soil.Routing.route) =
      Printf.sprintf "%s/%d by %s" (N.Address.to_string r.network) r.length
        (match r.gateway with None -> "link" | Some g -> N.Address.to_string g)
    in
    say "routes: %s" (String.concat ", " (List.map one (Soil.Routing.routes ())))
  in
  N.wait_up ();
  show ();
  ping ~tries:20 [ target ];
  Soil.Routing.add_route ~gateway:(address gateway) ~interface:0 (network, length);
  show ();
  ping [ target ];
  Soil.Routing.remove_route ~interface:0 (network, length);
  attempt "again" (fun () ->
      Soil.Routing.remove_route ~interface:0 (network, length);
      "removed");
  attempt "no interface" (fun () ->
      Soil.Routing.add_route ~interface:7 (network, length);
      "added");
  show ();
  ping ~tries:20 [ target ]

let vlan id own other =
  N.wait_up ();
  let place = Soil.Routing.add_vlan ~addresses:[ (address own, 24) ] ~interface:0 id in
  let i = List.nth (N.interfaces ()) place in
  say "interface %d is %s" place i.name;
  attempt "again" (fun () ->
      string_of_int (Soil.Routing.add_vlan ~addresses:[ (address own, 24) ] ~interface:0 id));
  attempt "on a VLAN" (fun () -> string_of_int (Soil.Routing.add_vlan ~interface:place 77));
  ping ~tries:20 [ other ];
  let l = Soil.Tcp.listen ~port:7 () in
  say "ready";
  Soil.Tcp.serve l (fun c -> ignore (D.copy ~src:c ~dst:c ()))

(* Sends a megabyte with options, and looks whether they hold. *)
let options target port congestion =
  let congestion : Soil.Tcp.congestion = if congestion = "cubic" then Cubic else New_reno in
  let c =
    Patience.insist (fun () ->
        Soil.Tcp.connect ~timeout:60. ~congestion ~send_buffer:16_384 ~receive_buffer:8192
          ~linger:5. ~nodelay:false ~keepalive:10. ~user_timeout:30.
          (N.endpoint (address target) port))
  in
  let text = String.init 1_000_000 (fun i -> Char.chr (i * 7 mod 251)) in
  let most = ref 0 in
  let rec watch () =
    most := max !most (Soil.Tcp.info c).unacknowledged;
    Soil.Clock.sleep 0.001;
    watch ()
  in
  Soil.Task.first
    [
      watch;
      (fun () ->
        D.write_string c text;
        Soil.Tcp.set_congestion c (match congestion with Cubic -> New_reno | New_reno -> Cubic);
        D.write_string c text);
    ];
  D.shutdown c `Send;
  let back = D.read_all c in
  say "most %s" (if !most > 0 && !most <= 16_384 then "within the limit" else string_of_int !most);
  say "answer %s" back

let () =
  Soil.run @@ fun () ->
  match List.tl (Array.to_list Sys.argv) with
  | [ "join"; group; port ] ->
      N.wait_up ();
      join (address group) (int_of_string port)
  | "send" :: port :: targets ->
      N.wait_up ();
      send_all (int_of_string port) targets
  | [ "ethernet"; count ] -> ethernet (int_of_string count)
  | [ "errors"; target; port ] ->
      N.wait_up ();
      errors target (int_of_string port)
  | "ping" :: targets -> ping targets
  | [ "filter" ] -> filter ()
  | [ "route"; network; gateway; target ] -> route network gateway target
  | [ "vlan"; id; own; other ] -> vlan (int_of_string id) own other
  | [ "options"; target; port; congestion ] -> options target (int_of_string port) congestion
  | _ -> failwith "unknown command"
