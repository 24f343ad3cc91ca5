let timed_out s = Error.fail Timed_out "wait" ~detail:("timed out after " ^ Text.number s ^ " s")

let within ?(fail = timed_out) timeout f =
  match timeout with
  | None -> f ()
  | Some s -> ( match Task.timeout_opt s f with Some v -> v | None -> fail s)
