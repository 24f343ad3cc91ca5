(* Answers datagrams on port 7 from the address that they were sent to, with that address and the
   interface's name. Arguments: groups to join. *)
let name = function
  | None -> "-"
  | Some i -> (
      match List.nth_opt (Soil.Net.interfaces ()) i with
      | Some interface -> interface.name
      | None -> "?")

let () =
  Soil.run @@ fun () ->
  let socket = Soil.Udp.bind ~port:7 () in
  let join group = Soil.Udp.join socket (Soil.Net.Address.of_string group) in
  let buffer = Bytes.create 1500 in
  Soil.Net.wait_up ();
  List.iter join (List.tl (Array.to_list Sys.argv));
  print_endline "ready";
  while true do
    let d = Soil.Udp.receive_to socket buffer 0 1500 in
    let text =
      Printf.sprintf "%s at %s on %s"
        (Bytes.sub_string buffer 0 d.length)
        (Soil.Net.Address.to_string d.destination)
        (name d.local.interface)
    in
    Soil.Udp.send_from socket ~from:d.local d.peer (Bytes.of_string text) 0 (String.length text)
  done
