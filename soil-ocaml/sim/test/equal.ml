(* Whether the world that the first argument runs passes, with equal events; the second is the
   number of seeds. *)

let () =
  let program = Sys.argv.(1) in
  let seeds = if Array.length Sys.argv > 2 then int_of_string Sys.argv.(2) else Runs.few_seeds in
  let test () = Runs.check_equal ~seeds program [] in
  Alcotest.run ~argv:[| "equal" |] ("soil.sim, " ^ program)
    [ ("equal events", [ Alcotest.test_case program `Quick test ]) ]
