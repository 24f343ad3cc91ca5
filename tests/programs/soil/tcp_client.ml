(* A TCP client. Arguments: exchange HOST PORT COUNT (COUNT connections at once, a line each way),
   refused HOST PORT, fetch HOST PORT, send HOST PORT BYTES. *)
module D = Soil.File_descriptor

let connect host port = Patience.insist (fun () -> Soil.Tcp.connect_host host ~port)

let exchange host port count =
  let one i =
    let connection = connect host port in
    Fun.protect ~finally:(fun () -> D.close connection) @@ fun () ->
    D.write_string connection (Printf.sprintf "line %d\n" i);
    Soil.Reader.line (Soil.Reader.create connection) = Printf.sprintf "LINE %d" i
  in
  let answers = Soil.Task.all (List.init count (fun i () -> one i)) in
  Printf.printf "%d right answers\n" (List.length (List.filter Fun.id answers))

let refused host port =
  match connect host port with
  | _ -> print_endline "connected"
  | exception Soil.Error e -> print_endline (Soil.Error.to_string e)

let fetch host port =
  let connection = connect host port in
  let text = D.read_all ~max:(64 lsl 20) connection in
  Printf.printf "%d bytes, digest %s\n" (String.length text) (Digest.to_hex (Digest.string text));
  D.close connection

let send host port bytes =
  let connection = connect host port in
  let block = String.init 50_000 (fun i -> Char.chr (i * 13 land 255)) in
  for _ = 1 to bytes / 50_000 do
    D.write_string connection block
  done;
  Soil.File_descriptor.shutdown connection `Send;
  Printf.printf "answer: %s" (D.read_all connection);
  D.close connection

let () =
  Soil.run @@ fun () ->
  let host = Sys.argv.(2) and port = int_of_string Sys.argv.(3) in
  match Sys.argv.(1) with
  | "exchange" -> exchange host port (int_of_string Sys.argv.(4))
  | "refused" -> refused host port
  | "fetch" -> fetch host port
  | "send" -> send host port (int_of_string Sys.argv.(4))
  | mode -> prerr_endline ("unknown mode " ^ mode)
