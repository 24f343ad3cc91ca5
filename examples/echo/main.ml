(* Sends back what it is sent, on TCP port 7 (RFC 862), or on the port given as argument. *)

let port () =
  match Sys.argv with
  | [| _ |] -> Some 7
  | [| _; text |] -> (
      match int_of_string_opt text with
      | Some n when n >= 0 && n <= 65535 -> Some n
      | Some _ | None -> None)
  | _ -> None

let echo connection =
  ignore (Soil.File_descriptor.copy ~src:connection ~dst:connection ());
  Soil.File_descriptor.shutdown connection `Send

let serve port =
  Soil.run @@ fun () ->
  let listener = Soil.Tcp.listen ~port () in
  Soil.Net.wait_up ();
  print_endline ("echo listens on " ^ Soil.Net.Endpoint.to_string (Soil.Tcp.local listener));
  Soil.Tcp.serve listener echo

let () =
  match port () with
  | None ->
      prerr_endline "usage: echo [PORT], with a port between 0 and 65535 (default: 7)";
      exit 2
  | Some port -> (
      match Soil.Error.catch (fun () -> serve port) with
      | Ok () -> ()
      | Error e ->
          prerr_endline ("echo: " ^ Soil.Error.to_string e);
          exit 1)
