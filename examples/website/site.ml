let root = "/www"

let port text =
  match int_of_string_opt text with
  | Some port when port > 0 && port < 65536 -> port
  | Some _ | None ->
      prerr_endline "website: the port has to be a number between 1 and 65535";
      exit 2

let url ~scheme ~default port =
  let addresses =
    List.concat_map (fun (i : Soil.Net.interface) -> i.addresses) (Soil.Net.interfaces ())
  in
  let address =
    match List.find_opt (fun (a, _) -> Soil.Net.Address.is_v4 a) addresses with
    | Some (a, _) -> a
    | None -> Soil.Net.loopback
  in
  let host = Soil.Net.Address.to_string address in
  scheme ^ "://" ^ host ^ if port = default then "/" else ":" ^ string_of_int port ^ "/"

let serve ?secure ~scheme ~default port =
  Soil.run @@ fun () ->
  let site = Soil.Fs.stat root in
  if site.kind <> Directory then Soil.Error.fail Not_directory "website" ~subject:root;
  let listener = Soil.Tcp.listen ~port () in
  Soil.Net.wait_up ();
  print_endline (url ~scheme ~default port ^ " serves " ^ root);
  Soil_http.Server.serve ~grace:1. ?secure listener (Soil_http.Files.handler root)

let run ?secure ~scheme ~default port =
  Printexc.register_printer Soil.Error.printer;
  match Soil.Error.catch (fun () -> serve ?secure ~scheme ~default port) with
  | Ok () -> ()
  | Error e ->
      prerr_endline ("website: " ^ Soil.Error.to_string e);
      exit 1
