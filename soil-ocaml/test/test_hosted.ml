(* What Linux's own sockets can't do, in a program that has them (SOIL_NET=host). *)
open Check
open Loop

let refusals () =
  let refused what f =
    match f () with
    | _ -> Alcotest.fail (what ^ ": not refused")
    | exception Soil.Error e ->
        string what (Soil.Error.message Unsupported) (Soil.Error.message e.code);
        let text = Soil.Error.to_string e and remedy = "give SOIL_NET=user or tap=DEVICE" in
        bool (what ^ ": with its remedy") true (String.ends_with ~suffix:remedy text)
  in
  refused "packet filter" (fun () -> N.filter []);
  refused "frames" (fun () -> ignore (Soil.Ethernet.open_ 0x88b5));
  refused "ping" (fun () -> ignore (Soil.Icmp.ping N.loopback));
  refused "routes" (fun () -> ignore (Soil.Routing.routes ()));
  refused "VLAN" (fun () -> ignore (Soil.Routing.add_vlan ~interface:0 7));
  refused "name" (fun () -> ignore (Soil.Mdns.announce ~name:"soil" ()));
  with_pair @@ fun server client ->
  refused "urgent data" (fun () -> ignore (Soil.Urgent.left server));
  refused "SACK" (fun () -> Soil.Tcp.set_sack client false);
  let options = { Soil.Tcp.default_options with timestamps = false } in
  refused "SYN" (fun () -> Soil.Tcp.with_connection ~options (Soil.Tcp.local server) ignore);
  (* They go on. *)
  Soil.Tcp.set_segment_size client 600;
  D.write_string client "x";
  byte server

let tests = [ in_run "what Linux's sockets can't do" refusals ]
