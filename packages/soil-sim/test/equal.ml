(* Whether the world that the first argument runs passes, with equal events. *)

let () =
  let program = Sys.argv.(1) in
  let test () = Runs.check_equal program [] in
  Alcotest.run ~argv:[| "equal" |] ("soil-sim, " ^ program)
    [ ("equal events", [ Alcotest.test_case program `Quick test ]) ]
