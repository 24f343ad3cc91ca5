(* Soil.Proxy_protocol: its codec against itself and against bytes of others, and on connections. *)
open Check
open Loop
module P = Soil.Proxy_protocol
module N = Soil.Net

let endpoint = N.Endpoint.of_string

let from ?(fields = []) source destination =
  P.Client { source = endpoint source; destination = endpoint destination; fields }

let show_field (kind, value) = Printf.sprintf " %d=%S" kind value

let show = function
  | P.Local -> "local"
  | Unknown -> "unknown"
  | Client c ->
      String.concat ""
        (N.Endpoint.to_string c.source :: " to "
        :: N.Endpoint.to_string c.destination
        :: List.map show_field c.fields)

let show_decoded = function
  | P.Header (h, n) -> Printf.sprintf "%s, %d bytes" (show h) n
  | Need n -> Printf.sprintf "needs %d" n
  | Malformed reason -> reason

let decodes what wanted s = string what wanted (show_decoded (P.decode s))

(* Examples *)

let signature = "\r\n\r\n\000\r\nQUIT\n"

let v2 ?(command = "\x21") kind body =
  let length = String.length body in
  signature ^ command ^ kind
  ^ Printf.sprintf "%c%c" (Char.chr (length lsr 8)) (Char.chr (length land 255))
  ^ body

let v4_block = "\192\000\002\001\198\051\100\002\x1f\x90\x01\xbb"

let v6_block =
  "\x20\x01\x0d\xb8" ^ String.make 11 '\000' ^ "\001" ^ String.make 15 '\000'
  ^ "\001\000\001\255\255"

let examples () =
  let v4 = "192.0.2.1:8080 to 198.51.100.2:443" in
  decodes "TCP4" (v4 ^ ", 44 bytes") "PROXY TCP4 192.0.2.1 198.51.100.2 8080 443\r\nGET /";
  decodes "TCP6" "[2001:db8::1]:1 to [::1]:65535, 36 bytes" "PROXY TCP6 2001:db8::1 ::1 1 65535\r\n";
  let longest =
    "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
     65535 65535\r\n"
  in
  int "the longest line" 107 (String.length longest);
  decodes "the longest line" "unknown, 107 bytes" (longest ^ "rest");
  decodes "UNKNOWN" "unknown, 15 bytes" "PROXY UNKNOWN\r\n";
  decodes "UNKNOWN with anything" "unknown, 20 bytes" "PROXY UNKNOWN \xff  x\r\n";
  decodes "version 2" (v4 ^ ", 28 bytes") (v2 "\x11" v4_block ^ "GET /");
  decodes "IPv6" "[2001:db8::1]:1 to [::1]:65535, 52 bytes" (v2 "\x21" v6_block);
  decodes "local" "local, 16 bytes" (v2 ~command:"\x20" "\x00" "");
  decodes "local with a block" "local, 28 bytes" (v2 ~command:"\x20" "\xff" v4_block);
  decodes "unspecified" "unknown, 19 bytes" (v2 "\x00" "abc");
  decodes "UDP" "unknown, 28 bytes" (v2 "\x12" v4_block);
  decodes "UNIX" "unknown, 232 bytes" (v2 "\x31" (String.make 216 'a'));
  let fields = "\x02\x00\x01a" ^ "\x04\x00\x02xx" ^ "\xe0\x00\x00" in
  decodes "fields" (v4 ^ " 2=\"a\" 224=\"\", 40 bytes") (v2 "\x11" (v4_block ^ fields))

(* HAProxy's checksums are tested in tests/cases/clients.py. *)
let checksum () =
  let header = from "192.0.2.1:8080" "198.51.100.2:443" in
  let sent = P.encode ~checksum:true header in
  decodes "right" (show header ^ ", 35 bytes") sent;
  let is_its_type i = i = 28 in
  for i = 12 to String.length sent - 1 do
    for bit = 0 to 7 do
      let flipped = Bytes.of_string sent in
      Bytes.set_uint8 flipped i (Bytes.get_uint8 flipped i lxor (1 lsl bit));
      match P.decode (Bytes.to_string flipped) with
      | Header (Client _, _) when not (is_its_type i) ->
          Alcotest.failf "byte %d, bit %d: not seen" i bit
      | Header _ | Need _ | Malformed _ -> ()
    done
  done

let malformed =
  let tcp4 = "PROXY TCP4 192.0.2.1 198.51.100.2 " in
  [
    ("data", "GET / HTTP/1.1\r\n");
    ("TLS", "\x16\x03\x01\x02\x00");
    ("small letters", "proxy ");
    ("no space", "PROXYTCP4 ");
    ("LF alone", "PROXY UNKNOWN\nxxxxxxxxxxxxxxxx");
    ("CR alone", "PROXY UNKNOWN\rxxxxxxxxxxxxxxxx");
    ("no end of the line", "PROXY UNKNOWN " ^ String.make 100 'x');
    ("an unknown family", "PROXY TCP5 192.0.2.1 198.51.100.2 1 2\r\n");
    ("a small family", "PROXY tcp4 192.0.2.1 198.51.100.2 1 2\r\n");
    ("IPv6 as TCP4", "PROXY TCP4 ::1 ::1 1 2\r\n");
    ("IPv4-mapped as TCP4", "PROXY TCP4 ::ffff:192.0.2.1 198.51.100.2 1 2\r\n");
    ("IPv4 as TCP6", "PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n");
    ("a leading zero", "PROXY TCP4 192.0.02.1 198.51.100.2 1 2\r\n");
    ("three numbers", "PROXY TCP4 192.0.2 198.51.100.2 1 2\r\n");
    ("two spaces", "PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n");
    ("a zone", "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n");
    ("a port with a leading zero", tcp4 ^ "01 2\r\n");
    ("a port out of range", tcp4 ^ "1 65536\r\n");
    ("a port with a sign", tcp4 ^ "+1 2\r\n");
    ("a long port", tcp4 ^ "1 0000000000000000001\r\n");
    ("no port", tcp4 ^ "1\r\n");
    ("an empty port", tcp4 ^ "1 \r\n");
    ("one port too many", tcp4 ^ "1 2 3\r\n");
    ("another signature", "\r\n\r\n\000\r\nQUIT\r");
    ("version 1 in version 2", v2 ~command:"\x11" "\x11" v4_block);
    ("version 3", v2 ~command:"\x31" "\x11" v4_block);
    ("an unknown command", v2 ~command:"\x22" "\x11" v4_block);
    ("a family out of range", v2 "\x41" v4_block);
    ("a transport out of range", v2 "\x13" v4_block);
    ("too short for IPv4", v2 "\x11" (String.sub v4_block 0 11));
    ("too short for IPv6", v2 "\x21" (String.sub v6_block 0 35));
    ("a field that is cut", v2 "\x11" (v4_block ^ "\x02\x00"));
    ("a longer field", v2 "\x11" (v4_block ^ "\x02\x00\x02a"));
    ("a long checksum", v2 "\x11" (v4_block ^ "\x03\x00\x05abcde"));
    ("an empty checksum", v2 "\x11" (v4_block ^ "\x03\x00\x00"));
    ("too long", v2 "\x11" (String.make 4081 '\000'));
  ]

let refuses (name, s) =
  test ("malformed: " ^ name) (fun () ->
      match P.decode s with Malformed _ -> () | other -> Alcotest.fail (show_decoded other))

(* Properties *)

module G = QCheck2.Gen

let gen_octets =
  let open G in
  let octets n = string_size ~gen:char (return n) in
  let mapped = map (fun s -> String.make 10 '\000' ^ "\255\255" ^ s) (octets 4) in
  oneof [ octets 4; octets 16; mapped; return (String.make 16 '\000') ]

let gen_endpoint =
  let open G in
  map2
    (fun octets port -> N.endpoint (N.Address.of_octets octets) port)
    gen_octets (int_bound 65535)

let gen_field =
  let open G in
  pair
    (map (fun kind -> if kind = 3 || kind = 4 then 5 else kind) (int_bound 255))
    (string_size ~gen:char (int_bound 40))

let gen_client fields =
  let open G in
  map3
    (fun source destination fields -> P.Client { source; destination; fields })
    gen_endpoint gen_endpoint fields

let gen_header fields =
  G.frequency [ (1, G.return P.Local); (1, G.return P.Unknown); (8, gen_client fields) ]

let gen_sent =
  let open G in
  let sent version checksum header = (header, P.encode ~version ~checksum header) in
  oneof
    [
      map (sent P.V1 false) (gen_header (return []));
      map2 (sent P.V2) bool (gen_header (list_size (int_bound 8) gen_field));
    ]

let version_1_has_no_local (header, sent) =
  if header = P.Local && sent.[0] = 'P' then P.Unknown else header

let round_trip (((_, sent) as both), rest) =
  P.decode (sent ^ rest) = Header (version_1_has_no_local both, String.length sent)

(* What is needed is never more than there will be: a reader takes nothing of what follows. *)
let every_prefix (_, sent) =
  let total = String.length sent in
  List.for_all
    (fun n ->
      match P.decode (String.sub sent 0 n) with
      | Need needed -> needed > n && needed <= total
      | Header _ | Malformed _ -> false)
    (List.init total Fun.id)

let gen_bytes =
  let open G in
  let prefix =
    oneofl
      [ ""; "PROXY "; "PROXY TCP4 "; signature; signature ^ "\x21"; signature ^ "\x21\x11\x00" ]
  in
  map2 ( ^ ) prefix
    (string_size ~gen:(oneof [ char; oneofl [ '\r'; '\n'; ' '; '0'; '.' ] ]) (int_bound 300))

let mutated =
  let open G in
  map3
    (fun (_, sent) i c ->
      let b = Bytes.of_string sent in
      Bytes.set b (i mod Bytes.length b) c;
      Bytes.to_string b)
    gen_sent nat char

let any_bytes s =
  match P.decode s with
  | Header (_, n) -> n <= String.length s && n <= P.max_bytes
  | Need n -> n > String.length s && n <= P.max_bytes
  | Malformed reason -> reason <> ""

let in_pieces (((_, sent) as both), rest, cuts) =
  let receiver, sender = Soil.Flow.pair () in
  let text = sent ^ rest in
  let send () =
    let rec go at = function
      | n :: cuts when at < String.length text ->
          let n = min (n + 1) (String.length text - at) in
          D.write_string ~off:at ~len:n sender text;
          T.yield ();
          go (at + n) cuts
      | _ -> D.write_string ~off:at sender text
    in
    go 0 cuts;
    D.shutdown sender `Send
  in
  let receive () =
    let header = P.receive receiver in
    (header, D.read_all receiver)
  in
  let (), result = T.both send receive in
  result = (version_1_has_no_local both, rest)

(* Fields *)

let fields () =
  let ssl = "\x07\x00\x00\x00\x00\x21\x00\x07TLSv1.3\x23\x00\x03abc\x22\x00\x02me" in
  let client fields =
    match from ~fields "192.0.2.1:1" "192.0.2.2:2" with Client c -> c | _ -> assert false
  in
  let c = client [ (1, "h2"); (2, "a.test"); (5, "id"); (0x20, ssl) ] in
  let text = Option.value ~default:"none" in
  strings "fields" [ "h2"; "a.test"; "id" ]
    (List.map text [ P.alpn c; P.authority c; P.unique_id c ]);
  let show_ssl c =
    match P.ssl c with
    | None -> "none"
    | Some s ->
        String.concat " "
          [ string_of_bool s.verified; text s.version; text s.cipher; text s.common_name ]
  in
  string "TLS" "true TLSv1.3 abc me" (show_ssl c);
  let ssl s = show_ssl (client [ (0x20, s) ]) in
  string "not verified" "false none none none" (ssl "\x03\x00\x00\x00\x01");
  string "no certificate" "false none none none" (ssl "\x01\x00\x00\x00\x00");
  string "no TLS" "none" (ssl "\x00\x00\x00\x00\x00");
  string "too short" "none" (ssl "\x01\x00\x00\x00");
  string "a cut part" "none" (ssl "\x01\x00\x00\x00\x00\x21\x00\x07TLS");
  string "no field" "none" (show_ssl (client []))

let impossible () =
  let client fields = from ~fields "192.0.2.1:1" "192.0.2.2:2" in
  let refused fields () = P.encode (client fields) in
  is_invalid "a checksum" (refused [ (3, "abcd") ]);
  is_invalid "a type" (refused [ (256, "") ]);
  is_invalid "a negative type" (refused [ (-1, "") ]);
  is_invalid "a long value" (refused [ (1, String.make 70_000 'a') ]);
  is_invalid "too much" (refused [ (1, String.make 4066 'a') ]);
  int "just enough" P.max_bytes (String.length (P.encode (client [ (1, String.make 4065 'a') ])))

(* Connections *)

let hosts = [ N.Prefix.v N.loopback 8 ]
let others = [ N.Prefix.of_string "192.0.2.0/24"; N.Prefix.of_string "::/0" ]

(* What the server says of a connection that begins with [text]. *)
let served ?(shut = true) ?timeout trusted text =
  let l = listen () in
  let said = ref "" in
  let handler c =
    let address = N.Address.to_string (P.client ?timeout ~trusted c).address in
    D.write_string c (address ^ " " ^ D.read_all c)
  in
  let on_error _ e = said := Printexc.to_string e in
  T.scope (fun s ->
      let server = T.spawn s (fun () -> Soil.Tcp.serve ~on_error l handler) in
      let answer =
        D.with_close
          (Soil.Tcp.connect (Soil.Tcp.local l))
          (fun c ->
            D.write_string c text;
            if shut then D.shutdown c `Send;
            try D.read_all c with Soil.Error { code = Connection_reset; _ } -> "")
      in
      D.close l;
      T.await server;
      if !said = "" then answer else !said)

let ends wanted text =
  bool (text ^ " ends with " ^ wanted) true (String.ends_with ~suffix:wanted text)

let on_connections () =
  let header = P.encode ~version:V1 (from "192.0.2.7:1" "192.0.2.8:2") in
  string "trusted" "192.0.2.7 data" (served hosts (header ^ "data"));
  string "of several networks" "192.0.2.7 data" (served (others @ hosts) (header ^ "data"));
  string "not trusted" ("127.0.0.1 " ^ header) (served others header);
  string "no trusted proxy" ("127.0.0.1 " ^ header) (served [] header);
  string "local" "127.0.0.1 data" (served hosts (P.encode Local ^ "data"));
  string "unknown" "127.0.0.1 data" (served hosts (P.encode Unknown ^ "data"));
  ends "no header" (served hosts "GET / HTTP/1.1\r\n\r\n");
  ends "before the end of the header" (served hosts (String.sub header 0 20));
  ends "before the end of the header" (served hosts "");
  ends "no header within 0.05 s" (served ~shut:false ~timeout:0.05 hosts "PROXY TCP4 ")

let loses_nothing () =
  let receiver, sender = Soil.Flow.pair () in
  D.write_string sender "PROXY UNKNOWN x";
  bool "cancelled" true (T.timeout_opt 0.01 (fun () -> P.receive receiver) = None);
  D.write_string sender "\r\nrest";
  D.shutdown sender `Send;
  string "as if not cancelled" "unknown" (show (P.receive receiver));
  string "the rest" "rest" (D.read_all receiver);
  let receiver, sender = Soil.Flow.pair () in
  P.send ~version:V1 sender (from "192.0.2.7:1" "[::1]:2");
  string "sent" "192.0.2.7:1 to [::1]:2" (show (P.receive receiver));
  D.write_string sender "GET / HTTP/1.1";
  (match P.receive receiver with
  | _ -> Alcotest.fail "accepted"
  | exception Soil.Error { code = Corrupt; _ } -> ());
  D.shutdown sender `Send;
  string "given back" "GET / HTTP/1.1" (D.read_all receiver)

let tests =
  [
    test "examples" examples;
    test "checksum" checksum;
    test "fields" fields;
    test "headers that can't be sent" impossible;
    in_run "connections" on_connections;
    in_run "nothing is lost" loses_nothing;
    property ~count:2000 "decoding what was encoded"
      G.(pair gen_sent (string_size (int_bound 30)))
      round_trip;
    property ~count:300 "every prefix needs more" gen_sent every_prefix;
    property ~count:5000 "any bytes" gen_bytes any_bytes;
    property ~count:5000 "a changed byte" mutated any_bytes;
    property_in_run ~count:200 "in pieces"
      G.(triple gen_sent (string_size (int_bound 30)) (list_size (int_bound 60) (int_bound 9)))
      in_pieces;
  ]
  @ List.map refuses malformed
