(* Says what of a machine works: the processor's timer, a port that the stack chooses (it takes
   random numbers), the disk "data", and a peer at the address and port of the arguments that sends
   back what it gets. *)

let say format = Printf.printf (format ^^ "\n%!")

let timer () =
  let before = Soil.Clock.monotonic () in
  Soil.Clock.sleep 0.02;
  say "the timer works: %b" (Soil.Clock.monotonic () -. before >= 0.02)

let port () =
  let socket = Unix.socket PF_INET SOCK_DGRAM 0 in
  match Unix.bind socket (ADDR_INET (Unix.inet_addr_any, 0)) with
  | () -> say "a port is chosen: %b" (Unix.getsockname socket <> ADDR_INET (Unix.inet_addr_any, 0))
  | exception Unix.Unix_error (error, _, _) ->
      say "no port is chosen: %s" (Unix.error_message error);
      exit 3

let disk () =
  Soil.Block.with_disk "data" @@ fun disk ->
  let len = Soil.Block.sector_size disk in
  let first_sector = Soil.Block.sectors disk - 1 in
  let out = Soil.Block.buffer len and back = Soil.Block.buffer len in
  for i = 0 to len - 1 do
    out.{i} <- Char.chr (i * 7 land 255)
  done;
  Soil.Block.write ~durable:true disk ~first_sector out 0 len;
  Soil.Block.read disk ~first_sector back 0 len;
  say "the disk works: %b" (out = back)

let peer host port =
  let connection = Soil.Tcp.connect_host host ~port in
  let text = String.init 10_000 (fun i -> Char.chr (33 + (i mod 90))) in
  let write () = Soil.File_descriptor.write_string connection text in
  let read () = Soil.Reader.take (Soil.Reader.create connection) (String.length text) in
  let (), back = Soil.Task.both write read in
  say "the network works: %b" (back = text);
  Soil.File_descriptor.close connection

let () =
  Soil.run @@ fun () ->
  timer ();
  port ();
  disk ();
  peer Sys.argv.(1) (int_of_string Sys.argv.(2));
  say "all works"
