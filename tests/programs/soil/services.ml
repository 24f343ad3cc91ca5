(* The services that the network tests talk to, all at once: echo on 7 (TCP and UDP), discard on 9,
   chargen on 19, HTTP with a constant 1 KiB body on 80, a line of counters on 79, and on 81 a
   connection that is closed at once. *)
module D = Soil.File_descriptor

let response =
  Bytes.of_string
    (Printf.sprintf "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n%s"
       (String.make 1024 'x'))

let http connection =
  let lines = Soil.Reader.create connection in
  let rec loop close =
    match Soil.Reader.line lines with
    | "" ->
        D.write connection response 0 (Bytes.length response);
        if not close then loop false
    | line -> loop (close || String.lowercase_ascii line = "connection: close")
    | exception End_of_file -> ()
  in
  loop false

let discard connection =
  let buffer = Bigarray.Array1.create Char C_layout 65536 in
  while D.read_into connection buffer 0 65536 > 0 do
    ()
  done

let chargen connection =
  let buffer = Bigarray.Array1.create Char C_layout 65536 in
  Bigarray.Array1.fill buffer 'c';
  while true do
    D.write_from connection buffer 0 65536
  done

let echo connection = ignore (D.copy ~buffer:16384 ~src:connection ~dst:connection ())

(* The collector's young area (2 MiB, used from its end on) gets its pages as they are first used,
   and a collection may come long before all of it was: how much it has depends on how the
   collections fell. Used up once it changes no more. *)
let use_young_area_up () =
  for _ = 1 to (Gc.get ()).minor_heap_size / 2 do
    ignore (Sys.opaque_identity (ref 0))
  done

let counters connection =
  use_young_area_up ();
  Gc.compact ();
  let memory = Soil.Machine.memory () in
  let counter name = Option.value ~default:(-1) (Soil.Machine.counter name) in
  D.write_string connection
    (Printf.sprintf "in_use=%d free=%d heap=%d descriptors=%d connections=%d\n" memory.in_use
       memory.free (counter "memory") (counter "descriptors") (counter "connections"))

let udp_echo socket =
  let buffer = Bytes.create 65536 in
  while true do
    let n, from = Soil.Udp.receive socket buffer 0 65536 in
    try Soil.Udp.send socket from buffer 0 n
    with Soil.Error e -> prerr_endline (Soil.Error.to_string e)
  done

let () =
  Soil.run @@ fun () ->
  let services =
    [ (7, echo); (9, discard); (19, chargen); (79, counters); (80, http); (81, ignore) ]
  in
  let listeners = List.map (fun (port, service) -> (Soil.Tcp.listen ~port (), service)) services in
  let socket = Soil.Udp.bind ~port:7 () in
  Soil.Net.wait_up ();
  print_endline "ready";
  Soil.Task.scope @@ fun scope ->
  List.iter
    (fun (listener, service) ->
      ignore
        (Soil.Task.spawn scope (fun () -> Soil.Tcp.serve ~max_connections:20_000 listener service)))
    listeners;
  udp_echo socket
