(* An authoritative name server: authority ORIGIN FILE serves the zone in FILE. *)
module Dns = Soil_dns
module D = Soil.File_descriptor

let usage () =
  prerr_endline "usage: authority ORIGIN FILE, such as authority example.org /zone/example.org";
  exit 2

let origin, file = match Sys.argv with [| _; origin; file |] -> (origin, file) | _ -> usage ()

(* What fits into a packet of every usual path (https://www.dnsflagday.net/2020/). *)
let udp_size = 1232
let edns = { Dns.udp_size; version = 0; dnssec_ok = false; options = [] }

(* The response to [text], at most so long by UDP. *)
let respond zone ~max text =
  match Dns.decode text with
  | Ok query when query.is_response -> None
  | Ok query ->
      let response =
        match query.edns with
        | Some { version; _ } when version > 0 && List.compare_length_with query.questions 1 = 0 ->
            Dns.response ~rcode:Dns.Rcode.bad_version query
        | _ -> Zone.answer zone query
      in
      let response = { response with edns = Option.map (fun _ -> edns) query.edns } in
      Some (Dns.encode ~max:(max query) response)
  | Error _ when String.length text < 12 || Char.code text.[2] land 0x80 <> 0 -> None
  | Error _ ->
      let query = Dns.query ~id:(String.get_uint16_be text 0) Dns.Name.root 0 in
      let query = { query with questions = []; recursion_desired = false } in
      Some (Dns.encode (Dns.response ~rcode:Dns.Rcode.format_error query))

let datagrams zone socket =
  let max query =
    match query.Dns.edns with Some edns -> min udp_size edns.udp_size | None -> 512
  in
  let b = Bytes.create 4096 in
  while true do
    let { Soil.Udp.length; peer; local; _ } = Soil.Udp.receive_to socket b 0 (Bytes.length b) in
    match respond zone ~max (Bytes.sub_string b 0 length) with
    | None -> ()
    | Some text -> (
        let text = Bytes.of_string text in
        (* From the address that was asked. *)
        try Soil.Udp.send_from ~timeout:1. ~from:local socket peer text 0 (Bytes.length text)
        with Soil.Error _ -> ())
  done

let port = Soil.Needs.port ~protocol:`Both ~doc:"queries" "dns" 53
let silent_seconds = 10.

(* RFC 7766: several queries by a connection. *)
let stream zone connection =
  let input = Soil.Reader.create connection in
  let exchange () =
    let text = Soil.Reader.take input (Soil.Reader.BE.uint16 input) in
    match respond zone ~max:(fun _ -> Dns.max_length) text with
    | None -> ()
    | Some text ->
        let length = Bytes.create 2 in
        Bytes.set_uint16_be length 0 (String.length text);
        D.writev connection [ Bytes.to_string length; text ]
  in
  try
    while true do
      Soil.Task.timeout silent_seconds exchange
    done
  with End_of_file | Soil.Task.Timeout _ -> ()

let load () =
  match Zone.parse origin (Soil.Fs.read_file file) with
  | zone -> zone
  | exception Zone.Wrong reason ->
      prerr_endline ("authority: " ^ file ^ ": " ^ reason);
      exit 1
  | exception Soil.Error e ->
      prerr_endline ("authority: " ^ Soil.Error.to_string e);
      exit 1

let () =
  Soil.run @@ fun () ->
  let zone = load () in
  let socket = Soil.Udp.bind ~port () in
  let listener = Soil.Tcp.listen ~port () in
  Soil.Net.wait_up ();
  print_endline ("authority for " ^ Dns.Name.to_string zone.origin);
  Soil.Task.scope @@ fun scope ->
  ignore (Soil.Task.spawn_daemon scope (fun () -> datagrams zone socket));
  Soil.Tcp.serve ~max_connections:200 listener (stream zone)
