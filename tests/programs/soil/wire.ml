(* Header fields that a program sets, urgent data, time limits, and TCP on a VLAN. The arguments are
   a command and its own arguments; the test plays the other end. *)
module D = Soil.File_descriptor
module N = Soil.Net
module T = Soil.Task

let say fmt = Printf.ksprintf print_endline fmt
let address = N.Address.of_string

(* Two pieces of data, with the DSCP changed between them. *)
let two_pieces c =
  D.write_string c "first";
  ignore (D.read c (Bytes.create 10) 0 10);
  Soil.Tcp.set_dscp c 34;
  Soil.Tcp.set_hop_limit c 33;
  D.write_string c "second";
  ignore (D.read c (Bytes.create 10) 0 10);
  D.close c

(* Connects with and without marks, then serves the same. *)
let marks host port =
  let e = N.endpoint (address host) port in
  two_pieces (Patience.insist (fun () -> Soil.Tcp.connect ~hop_limit:9 ~dscp:46 ~ecn:true e));
  two_pieces (Patience.insist (fun () -> Soil.Tcp.connect e));
  let l = Soil.Tcp.listen ~hop_limit:7 ~dscp:10 ~port:7 () in
  say "ready";
  two_pieces (Soil.Tcp.accept ~timeout:20. l);
  let d = Soil.Udp.bind ~hop_limit:5 ~dscp:8 ~port:0 () in
  Soil.Udp.send_string d e "datagram";
  Soil.Udp.set_hop_limit d 6;
  Soil.Udp.set_dscp d 63;
  Soil.Udp.send_string d e "another";
  ignore (Soil.Udp.receive ~timeout:20. d (Bytes.create 10) 0 10)

let urgent () =
  let l = Soil.Tcp.listen ~port:7 () in
  say "ready";
  let c = Soil.Tcp.accept ~timeout:20. l in
  let read n =
    let b = Bytes.create n in
    D.really_read c b 0 n;
    Bytes.to_string b
  in
  let n = Soil.Urgent.wait ~timeout:20. c in
  say "urgent: %d" n;
  say "read: %s" (read n);
  say "left: %d" (Soil.Urgent.left c);
  D.write_string c "go on";
  say "not urgent: %d" (Soil.Urgent.wait ~timeout:20. c);
  say "read: %s" (read 4);
  (match Soil.Urgent.wait ~timeout:0.1 c with
  | n -> say "in time: %d" n
  | exception Soil.Error e -> say "in time: %s" (Soil.Error.message e.code));
  Soil.Urgent.send c (Bytes.of_string "stop!") 0 5;
  D.write_string c "and the rest";
  say "end: %d" (Soil.Urgent.wait ~timeout:20. c)

(* Nothing leaves the link, and nothing comes: each call that waits there ends in its time, and when
   it is cancelled. *)
let stuck network server =
  let descriptors () = Option.value ~default:0 (Soil.Machine.counter "descriptors") in
  let before = descriptors () in
  (* A host of its own for each call, and again where this machine wasn't run for long: after three
     seconds one that doesn't answer is unreachable. *)
  let host n = Printf.sprintf "%s.%d" network n in
  let endpoint n = N.endpoint (address (host n)) 9 in
  (* Needs no neighbour, so that it fills the link. *)
  let all = N.endpoint (N.v4 255 255 255 255) 9 in
  let soon f =
    let start = Soil.Clock.monotonic () in
    let outcome =
      match f () with
      | () -> "it didn't wait"
      | exception Soil.Error e -> Soil.Error.message e.code
      | exception T.Cancelled -> "cancelled"
    in
    let took = Soil.Clock.monotonic () -. start in
    (* A call that ignores its limit takes a minute, or never returns. *)
    if took > 30. then Printf.sprintf "%s after %.1f s" outcome took else outcome
  in
  let rec both ?(tries = 5) name f =
    let in_time = soon (f ~timeout:0.2) in
    let cancelled =
      soon (fun () ->
          T.scope (fun s ->
              let t = T.spawn s (f ~timeout:60.) in
              Soil.Clock.sleep 0.1;
              T.cancel t;
              T.await t))
    in
    if List.mem "unreachable" [ in_time; cancelled ] && tries > 1 then
      both ~tries:(tries - 1) name f
    else say "%s: %s, %s" name in_time cancelled
  in
  let opened d f = D.with_close d f in
  let b = Bytes.make 1400 'x' in
  let big = Bigarray.Array1.create Bigarray.char Bigarray.c_layout 14_000 in
  let rec for_ever f : unit =
    f ();
    for_ever f
  in
  opened (Soil.Udp.bind ~port:0 ()) (fun d ->
      both "udp send" (fun ~timeout () ->
          for_ever (fun () -> Soil.Udp.send ~timeout d all b 0 1400));
      both "udp send_batch" (fun ~timeout () ->
          let batch = List.init 10 (fun _ -> (1400, all)) in
          for_ever (fun () -> ignore (Soil.Udp.send_batch ~timeout d big ~slot:1400 batch)));
      both "udp receive" (fun ~timeout () -> ignore (Soil.Udp.receive ~timeout d b 0 10));
      both "udp receive_batch" (fun ~timeout () ->
          ignore (Soil.Udp.receive_batch ~timeout d big ~slot:1400 10)));
  both "dns lookup" (fun ~timeout () -> ignore (Soil.Dns.lookup ~timeout "one.test"));
  both "dns texts" (fun ~timeout () -> ignore (Soil.Dns.texts ~timeout "one.test"));
  both "dns services" (fun ~timeout () -> ignore (Soil.Dns.services ~timeout "_a._tcp.test"));
  both "dns reverse" (fun ~timeout () -> ignore (Soil.Dns.reverse ~timeout (address server)));
  both "tcp connect" (fun ~timeout () -> D.close (Soil.Tcp.connect ~timeout (endpoint 11)));
  both "tcp with_connection" (fun ~timeout () ->
      Soil.Tcp.with_connection ~timeout (endpoint 12) ignore);
  both "tcp connect_host" (fun ~timeout () ->
      D.close (Soil.Tcp.connect_host ~timeout (host 13) ~port:9));
  both "ping" (fun ~timeout () -> ignore (Soil.Icmp.ping ~timeout (address (host 14))));
  opened (Soil.Ethernet.open_ 0x88b5) (fun d ->
      both "ethernet receive" (fun ~timeout () ->
          ignore (Soil.Ethernet.receive ~timeout d b 0 1400));
      both "ethernet send" (fun ~timeout () ->
          let destination = Soil.Net.Mac.broadcast in
          for_ever (fun () -> Soil.Ethernet.send ~timeout d ~destination b 0 1400)));
  say "left over: %d" (descriptors () - before)

(* No server answers DHCP. *)
let addressless () =
  match N.wait_up ~timeout:0.2 () with
  | () -> say "up"
  | exception Soil.Error e -> say "wait_up: %s" (Soil.Error.message e.code)

(* TCP on a VLAN: a client first, then a server; sizes beyond what one segment takes. *)
let vlan id own hosts port =
  N.wait_up ();
  ignore (Soil.Routing.add_vlan ~addresses:own ~interface:0 id);
  let text = String.init 1_000_000 (fun i -> Char.chr (i * 7 mod 251)) in
  List.iter
    (fun host ->
      let e = N.endpoint (address host) port in
      let c = Patience.insist (fun () -> Soil.Tcp.connect ~timeout:20. e) in
      D.write_string c text;
      D.shutdown c `Send;
      say "answer of %s: %s" host (D.read_all c);
      D.close c)
    hosts;
  let l = Soil.Tcp.listen ~port:7 () in
  say "ready";
  Soil.Tcp.serve l (fun c -> ignore (D.copy ~src:c ~dst:c ()))

let () =
  Soil.run @@ fun () ->
  match List.tl (Array.to_list Sys.argv) with
  | [ "marks"; host; port ] -> marks host (int_of_string port)
  | [ "urgent" ] -> urgent ()
  | [ "stuck"; network; server ] -> stuck network server
  | [ "addressless" ] -> addressless ()
  | "vlan" :: id :: own4 :: own6 :: port :: hosts ->
      let own = [ (address own4, 24); (address own6, 64) ] in
      vlan (int_of_string id) own hosts (int_of_string port)
  | _ -> failwith "unknown command"
