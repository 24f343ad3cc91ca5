let () =
  Alcotest.run "checkers"
    [
      ("orders", Test_orders.cases);
      ("sessions", Test_sessions.cases);
      ("workloads", Test_workloads.cases);
      ("generate", Test_generate.cases);
    ]
