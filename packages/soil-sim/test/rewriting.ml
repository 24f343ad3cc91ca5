(* What a router with NAT does to frames, and to its mappings. *)

module Nat = Soil_sim__.Nat
module Network = Soil_sim.Network
module Generate = Soil_sim.Generate

let inside = 0
let server = 1
let other = 2
let router = 3

let router_with ?idle ?(most = 100) () =
  Nat.create (Generate.create 1) ~index:router ~name:"router" ~idle ~most ~inside:[ inside ]
    ~outside:(fun i -> i = server || i = other)

let put frame at n = Bytes.set_uint16_be frame at n
let get = String.get_uint16_be

(* RFC 1071, of words from a place on. *)
let sum text first last =
  let rec add total at =
    if at > last - 1 then total
    else
      let word = if at = last - 1 then Char.code text.[at] lsl 8 else get text at in
      add (total + word) (at + 2)
  in
  let rec fold n = if n > 0xffff then fold ((n land 0xffff) + (n lsr 16)) else n in
  fold (add 0 first)

type kind = Tcp | Udp | Unchecked | Request | Reply

let number = function Tcp -> 6 | Udp | Unchecked -> 17 | Request | Reply -> 1
let payload = 34
let sum_at = function Tcp -> payload + 16 | Udp | Unchecked -> payload + 6 | _ -> payload + 2

(* What the checksums of a frame add up to: 0xffff if they are right. *)
let totals kind frame =
  let last = String.length frame in
  let of_addresses = sum frame 26 34 + number kind + last - payload in
  let of_payload = sum frame payload last in
  let all =
    match kind with
    | Request | Reply -> of_payload
    | Unchecked -> 0xffff
    | Tcp | Udp -> of_payload + of_addresses
  in
  let rec fold n = if n > 0xffff then fold ((n land 0xffff) + (n lsr 16)) else n in
  (sum frame 14 34, fold all)

(* A frame with right checksums. *)
let frame kind ~to_mac ~from ~into (source, destination) text =
  let length = 20 + String.length text in
  let frame = Bytes.make (payload + length) '\000' in
  Bytes.blit_string (Network.mac to_mac) 0 frame 0 6;
  put frame 12 0x0800;
  put frame 14 0x4500;
  put frame 16 (20 + length);
  put frame 22 ((64 * 256) + number kind);
  Bytes.set_int32_be frame 26 (Int32.of_int (Network.ip from));
  Bytes.set_int32_be frame 30 (Int32.of_int (Network.ip into));
  (match kind with
  | Request -> put frame payload 0x0800
  | Reply -> put frame payload 0
  | _ -> put frame payload source);
  (match kind with
  | Request | Reply -> put frame (payload + 4) source
  | _ -> put frame (payload + 2) destination);
  Bytes.blit_string text 0 frame (payload + 20) (String.length text);
  put frame 24 (lnot (sum (Bytes.to_string frame) 14 34) land 0xffff);
  (if kind <> Unchecked then
     let _, total = totals kind (Bytes.to_string frame) in
     let total = lnot total land 0xffff in
     put frame (sum_at kind) (if kind = Udp && total = 0 then 0xffff else total));
  Bytes.to_string frame

let out ?(kind = Udp) ?(into = server) ?(port = 7) ?(text = "hello") source =
  frame kind ~to_mac:router ~from:inside ~into (source, port) text

let back ?(kind = Udp) ?(from = server) ?(port = 7) ?(text = "hello") public =
  let ports = match kind with Request | Reply -> (public, 0) | _ -> (port, public) in
  frame kind ~to_mac:router ~from ~into:router ports text

let leave ?(now = 0) t frame = Nat.route t ~now ~from:inside frame
let come ?(now = 0) ?(from = server) t frame = Nat.route t ~now ~from frame

let sent = function
  | Nat.Sends frame | Nat.Answers frame -> frame
  | Drops -> Alcotest.fail "the frame is dropped"
  | Ignores -> Alcotest.fail "the frame is ignored"

let dropped what action = Alcotest.(check bool) what true (action = Nat.Drops)
let arrives action = ignore (sent action)
let is_right = Alcotest.(check (pair int int)) "checksums" (0xffff, 0xffff)
let check_int = Alcotest.(check int)
let ip frame at = Int32.to_int (String.get_int32_be frame at)

let public ?(kind = Udp) frame =
  get frame (match kind with Request | Reply -> payload + 4 | _ -> payload)

(* Whatever the bytes are, also an odd number. An echo of zeros only is left out: no correction by
   RFC 1624 is right for it. *)
let test_checksums () =
  let t = router_with () in
  let rng = Generate.create 2 in
  for i = 1 to 2000 do
    let text = String.init (i mod 8) (fun _ -> Char.chr (Generate.int rng 256)) in
    let each (kind, answer) =
      let left = sent (leave t (out ~kind ~text (1 + Generate.int rng 50))) in
      is_right (totals kind left);
      let came = sent (come t (back ~kind:answer ~text (public ~kind left))) in
      is_right (totals answer came);
      if kind = Unchecked then check_int "has none" 0 (get came (sum_at kind))
    in
    List.iter each [ (Tcp, Tcp); (Udp, Udp); (Unchecked, Unchecked); (Request, Reply) ]
  done

(* A checksum of 0 says that there is none: the router writes none where there was one. *)
let test_zero () =
  let t = router_with () in
  let written = Hashtbl.create 4 in
  for i = 0 to 65535 do
    let text = Printf.sprintf "%c%c" (Char.chr (i lsr 8)) (Char.chr (i land 255)) in
    Hashtbl.replace written (get (sent (leave t (out ~text 5))) (sum_at Udp)) ()
  done;
  Alcotest.(check bool) "0xffff" true (Hashtbl.mem written 0xffff);
  Alcotest.(check bool) "0" false (Hashtbl.mem written 0)

let test_corruption () =
  let flip frame bit =
    let bytes = Bytes.of_string frame in
    Bytes.set_uint8 bytes (bit / 8) (Bytes.get_uint8 bytes (bit / 8) lxor (1 lsl (bit mod 8)));
    Bytes.to_string bytes
  in
  let each kind =
    let whole = out ~kind 5 in
    for bit = 8 * 14 to (8 * String.length whole) - 1 do
      match leave (router_with ()) (flip whole bit) with
      | Sends frame ->
          let right = totals kind frame = (0xffff, 0xffff) && number kind = Char.code frame.[23] in
          Alcotest.(check bool) (Printf.sprintf "bit %d is found" bit) false right
      | Answers _ | Drops | Ignores -> ()
    done
  in
  List.iter each [ Tcp; Udp; Request ]

let test_addresses () =
  let t = router_with () in
  let left = sent (leave t (out 5)) in
  Alcotest.(check string) "for the server" (Network.mac server) (String.sub left 0 6);
  Alcotest.(check string) "from the router" (Network.mac router) (String.sub left 6 6);
  check_int "source" (Network.ip router) (ip left 26);
  check_int "destination" (Network.ip server) (ip left 30);
  check_int "hop limit" 63 (Char.code left.[22]);
  let came = sent (come t (back (public left))) in
  Alcotest.(check string) "for the node" (Network.mac inside) (String.sub came 0 6);
  check_int "source" (Network.ip server) (ip came 26);
  check_int "destination" (Network.ip inside) (ip came 30);
  check_int "port" 5 (get came (payload + 2))

(* One port for all peers; each may answer, and no other. *)
let test_filter () =
  let t = router_with () in
  let first = public (sent (leave t (out 5))) in
  dropped "another address" (come t (back ~from:other first));
  dropped "another port" (come t (back ~port:8 first));
  dropped "another protocol" (come t (back ~kind:Tcp first));
  check_int "one port" first (public (sent (leave t (out ~into:other 5))));
  arrives (come t (back ~from:other first));
  Alcotest.(check bool) "two ports" true (first <> public (sent (leave t (out 6))));
  let echo = public ~kind:Request (sent (leave t (out ~kind:Request 5))) in
  dropped "a request from outside" (come t (back ~kind:Request echo));
  dropped "a reply from inside" (leave t (out ~kind:Reply 5));
  dropped "no node" (leave t (out ~into:9 5));
  dropped "no address of the network" (leave t (out ~into:(-1) 5));
  dropped "itself" (leave t (out ~into:router 5));
  let fragment = Bytes.of_string (out 5) in
  put fragment 20 0x2000;
  dropped "a fragment" (leave t (Bytes.to_string fragment));
  dropped "a part of a frame" (leave t (String.sub (out 5) 0 36))

let second = 1_000_000_000

let test_idle () =
  let t = router_with ~idle:(10 * second) () in
  let first = public (sent (leave t (out 5))) in
  arrives (come ~now:(9 * second) t (back first));
  arrives (come ~now:(18 * second) t (back first));
  dropped "late" (come ~now:(28 * second) t (back first));
  let next = public (sent (leave ~now:(28 * second) t (out 5))) in
  Alcotest.(check bool) "another port" true (first <> next);
  let usual kind seconds =
    let answer = if kind = Request then Reply else kind in
    let t = router_with () in
    let port = public ~kind (sent (leave t (out ~kind 5))) in
    dropped "late" (come ~now:(seconds * second) t (back ~kind:answer port));
    let port = public ~kind (sent (leave t (out ~kind 5))) in
    arrives (come ~now:((seconds * second) - 1) t (back ~kind:answer port))
  in
  List.iter
    (fun (kind, minutes) -> usual kind (60 * minutes))
    [ (Tcp, 124); (Udp, 5); (Request, 1) ]

let test_bound () =
  let t = router_with ~most:2 () in
  let at now source = public (sent (leave ~now t (out source))) in
  let first = at 1 5 and second = at 2 6 in
  check_int "is used" first (at 3 5);
  let third = at 4 7 in
  dropped "the least recently used" (come ~now:5 t (back second));
  arrives (come ~now:5 t (back first));
  arrives (come ~now:5 t (back third))

let test_forget () =
  let t = router_with () in
  Alcotest.(check bool) "empty" true (Nat.is_empty t);
  let first = public (sent (leave t (out 5))) in
  Alcotest.(check bool) "not empty" false (Nat.is_empty t);
  Nat.forget t;
  dropped "forgotten" (come t (back first));
  Alcotest.(check bool) "another port" true (first <> public (sent (leave t (out 5))))

(* ARP: who has the address of a node, asked by another. *)
let test_arp () =
  let t = router_with () in
  let ask from asked =
    let frame = Bytes.make 42 '\000' in
    Bytes.fill frame 0 6 '\xff';
    Bytes.blit_string (Network.mac from) 0 frame 6 6;
    put frame 12 0x0806;
    put frame 20 1;
    Bytes.blit_string (Network.mac from) 0 frame 22 6;
    Bytes.set_int32_be frame 28 (Int32.of_int (Network.ip from));
    Bytes.set_int32_be frame 38 (Int32.of_int (Network.ip asked));
    Nat.route t ~now:0 ~from (Bytes.to_string frame)
  in
  let answered (from, asked) =
    let reply = sent (ask from asked) in
    Alcotest.(check string) "for the asker" (Network.mac from) (String.sub reply 0 6);
    check_int "a reply" 2 (get reply 20);
    Alcotest.(check string) "the router" (Network.mac router) (String.sub reply 22 6);
    check_int "the asked one" (Network.ip asked) (ip reply 28)
  in
  let ignored (from, asked) =
    Alcotest.(check bool) "no answer" true (ask from asked = Nat.Ignores)
  in
  List.iter answered [ (inside, server); (inside, router); (server, router) ];
  List.iter ignored [ (inside, inside); (server, inside); (server, other); (inside, 9) ]

let () =
  let case name f = Alcotest.test_case name `Quick f in
  Alcotest.run "soil-sim.nat"
    [
      ( "frames",
        [
          case "have right checksums" test_checksums;
          case "have a checksum" test_zero;
          case "stay corrupted" test_corruption;
          case "have other addresses" test_addresses;
        ] );
      ( "mappings",
        [
          case "filter" test_filter;
          case "end when idle" test_idle;
          case "have a bound" test_bound;
          case "are forgotten" test_forget;
        ] );
      ("arp", [ case "of both sides" test_arp ]);
    ]
