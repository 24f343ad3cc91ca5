(* Listens twice on one port; the second attempt fails, and a free port is found. *)
let () =
  Soil.run @@ fun () ->
  let first = Soil.Tcp.listen ~port:7000 () in
  (match Soil.Tcp.listen ~port:7000 () with
  | _ -> print_endline "listening twice"
  | exception Soil.Error e -> print_endline (Soil.Error.message e.code));
  let free = Soil.Tcp.listen ~port:0 () in
  Printf.printf "a free port: %b\n%!" ((Soil.Tcp.local free).port > 0);
  Soil.File_descriptor.close first;
  let again = Soil.Tcp.listen ~port:7000 () in
  Printf.printf "free again: %d\n%!" (Soil.Tcp.local again).port;
  ignore (Soil.Tcp.listen ~port:7000 ())
