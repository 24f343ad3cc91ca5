(* Answers each datagram at port 7 with the monotonic clock in nanoseconds and what was sent.
   Argument 1: turns of a loop before anything else, in which nothing asks for the time. *)
let () =
  let turns = int_of_string Sys.argv.(1) in
  let sum = ref 0 in
  for turn = 1 to turns do
    sum := !sum lxor Sys.opaque_identity turn
  done;
  Soil.run @@ fun () ->
  let socket = Soil.Udp.bind ~port:7 () in
  Printf.printf "ready %d\n%!" (Soil.Clock.monotonic_ns ());
  let buffer = Bytes.create 64 in
  while true do
    let n, peer = Soil.Udp.receive socket buffer 0 64 in
    Soil.Udp.send_string socket peer
      (Printf.sprintf "%d %s" (Soil.Clock.monotonic_ns ()) (Bytes.sub_string buffer 0 n))
  done
