(* Fails at its first start, and says why at the next. *)
let () =
  Soil.run @@ fun () ->
  match Soil.Machine.last_failure () with
  | None -> failwith "on purpose"
  | Some { count; report; _ } -> Printf.printf "after %d failure:\n%s" count report
