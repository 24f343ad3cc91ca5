(* Answers each datagram with its sender's address and the time. *)
let () =
  Soil.run @@ fun () ->
  let socket = Soil.Udp.bind ~port:7001 () in
  let b = Bytes.create Soil.Udp.max_length in
  while true do
    let n, from = Soil.Udp.receive socket b 0 (Bytes.length b) in
    if n > 0 then
      let answer =
        Printf.sprintf "%s %.3f" (Soil.Net.Endpoint.to_string from) (Soil.Clock.now ())
      in
      Soil.Udp.send_string socket from answer
  done
