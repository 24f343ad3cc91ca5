(* uri, base64, hex, ipaddr, macaddr, domain-name, magic-mime, uuidm, stringext: names in text. *)

let line = Printf.printf

let () =
  let uri =
    Uri.of_string "https://user@example.org:8443/a%20b/../c?q=gr%C3%BC%C3%9Fe&q=2&empty=#end"
  in
  line "%s, port %d, path %S\n"
    (Option.get (Uri.host uri))
    (Option.get (Uri.port uri))
    (Uri.path uri);
  List.iter (fun (key, values) -> line "%s: %s\n" key (String.concat "|" values)) (Uri.query uri);
  line "%s\n" (Uri.to_string (Uri.add_query_param' (Uri.with_path uri "/d") ("more", "a&b")));
  line "%s\n" (Uri.to_string (Uri.resolve "https" uri (Uri.of_string "../e?f")));
  match Uri.pct_decode "%zz" with text -> line "%S\n" text

let () =
  let text = String.init 256 Char.chr in
  let coded = Base64.encode_string text in
  line "%d characters, back: %b\n" (String.length coded) (Base64.decode_exn coded = text);
  line "%s\n" (Base64.encode_exn ~pad:false ~alphabet:Base64.uri_safe_alphabet "\xff\xfe\xfd");
  (match Base64.decode "QUJ*" with
  | Ok _ -> line "decoded\n"
  | Error (`Msg reason) -> line "base64: %s\n" reason);
  line "%s, back: %b\n" (Hex.show (Hex.of_string "soil")) (Hex.to_string (Hex.of_string text) = text)

let () =
  let network = Ipaddr.Prefix.of_string_exn "2001:db8::/32" in
  let address = Ipaddr.of_string_exn "2001:db8:0:0:0:0:0:7" in
  line "%s in %s: %b\n" (Ipaddr.to_string address) (Ipaddr.Prefix.to_string network)
    (Ipaddr.Prefix.mem address network);
  let v4 = Ipaddr.V4.Prefix.of_string_exn "10.1.2.0/23" in
  line "%s to %s\n"
    (Ipaddr.V4.to_string (Ipaddr.V4.Prefix.first v4))
    (Ipaddr.V4.to_string (Ipaddr.V4.Prefix.last v4));
  (match Ipaddr.V4.of_string "10.1.2.256" with
  | Ok _ -> line "an address\n"
  | Error (`Msg reason) -> line "ipaddr: %s\n" reason);
  line "%s\n" (Macaddr.to_string ~sep:'-' (Macaddr.of_string_exn "52:54:00:12:34:56"))

let () =
  let name = Domain_name.of_string_exn "www.Example.ORG" in
  line "%s, %d labels, a host: %b\n" (Domain_name.to_string name) (Domain_name.count_labels name)
    (Result.is_ok (Domain_name.host name));
  line "below: %b\n"
    (Domain_name.is_subdomain ~subdomain:name ~domain:(Domain_name.of_string_exn "example.org"));
  (match Domain_name.of_string (String.make 64 'a' ^ ".org") with
  | Ok _ -> line "a name\n"
  | Error (`Msg reason) -> line "domain-name: %s\n" reason);
  line "%s, %s\n" (Magic_mime.lookup "page.html") (Magic_mime.lookup "font.woff2")

let () =
  let id = Uuidm.v5 Uuidm.ns_dns "example.org" in
  line "%s, version %d\n" (Uuidm.to_string id) (Uuidm.version id);
  line "back: %b\n" (Uuidm.of_string (Uuidm.to_string id) = Some id);
  let random = Uuidm.v4_gen (Random.State.make_self_init ()) in
  let ids = List.sort_uniq Uuidm.compare (List.init 1000 (fun _ -> random ())) in
  line "%d different ones\n" (List.length ids);
  line "%s\n" (String.concat "|" (Stringext.full_split "a=b=c" ~on:'='));
  line "%s\n"
    (Option.fold ~none:"none" ~some:(fun (a, b) -> a ^ " and " ^ b) (Stringext.cut "k: v" ~on:": "))
