(* A process and its child, one of which, "parent" or "child", sleeps outside Soil and so handles no
   event, and the other in Soil. *)
let () =
  Soil.run @@ fun () ->
  let name = if Unix.fork () = 0 then "child" else "parent" in
  Printf.printf "%s is %d\n%!" name (Unix.getpid ());
  if name = Sys.argv.(1) then Unix.sleepf 3600. else Soil.Clock.sleep 3600.
