(* Devices that threads use on other processors than the first, see devices_of_others.c. The
   reference to [Domain.spawn] gives an image several processors. *)

external draw : unit -> unit = "devices_draw"
external scan : string -> unit = "devices_scan"

let _spawn : (unit -> unit) -> unit Domain.t = Sys.opaque_identity Domain.spawn

let () =
  match Sys.argv with
  | [| _; "draw" |] -> draw ()
  | [| _; "scan"; file |] ->
      scan file;
      print_endline (input_line stdin)
  | _ -> invalid_arg "draw | scan FILE"
