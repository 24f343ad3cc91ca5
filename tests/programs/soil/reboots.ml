(* Resets the machine. *)
let () = Soil.run @@ fun () -> Soil.Machine.reboot ()
