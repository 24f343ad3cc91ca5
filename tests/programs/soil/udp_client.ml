(* Sends datagrams of several lengths to a UDP echo server and compares what comes back. Arguments:
   HOST PORT. *)
let () =
  Soil.run @@ fun () ->
  let host = Soil.Net.Address.of_string Sys.argv.(1) and port = int_of_string Sys.argv.(2) in
  let server = Soil.Net.endpoint host port in
  let socket = Soil.Udp.bind ~port:0 () in
  let buffer = Bytes.create 65536 in
  let attempt length =
    let sent = String.init length (fun i -> Char.chr ((i + length) land 255)) in
    match
      Soil.Udp.send_string socket server sent;
      Soil.Udp.receive ~timeout:60. socket buffer 0 65536
    with
    | n, from ->
        let same = Bytes.sub_string buffer 0 n = sent && from = server in
        Printf.printf "%d bytes: %s\n%!" length (if same then "the same back" else "something else")
    | exception Soil.Error e -> Printf.printf "%d bytes: %s\n%!" length (Soil.Error.message e.code)
  in
  List.iter attempt [ 1; 0; 100; 1472; 512 ]
