let deadlock () =
  match Soil_lwt.run (fun () -> Soil_lwt.await (fst (Lwt.wait ()))) with
  | () -> Alcotest.fail "no deadlock"
  | exception Soil.Error { code = Deadlock; _ } -> ()

let () =
  Alcotest.run "lwt"
    [ ("promises", Lwts.tests @ [ Alcotest.test_case "deadlock" `Quick deadlock ]) ]
