(* The libraries are missing here; the tests skip this program. *)
