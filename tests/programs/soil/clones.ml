(* Random numbers and the time of day, five times a second, of a machine that is copied while it
   runs; and a listener at port 7, whose sequence numbers are compared. *)
let hex text =
  String.concat ""
    (List.map (fun c -> Printf.sprintf "%02x" (Char.code c)) (List.of_seq (String.to_seq text)))

let () =
  Soil.run @@ fun () ->
  ignore (Soil.Tcp.listen ~port:7 ());
  while true do
    Printf.printf "drawn %s\n%!" (hex (Soil.Random.string 8));
    Printf.printf "time %.1f\n%!" (Soil.Clock.now ());
    Soil.Clock.sleep 0.2
  done
