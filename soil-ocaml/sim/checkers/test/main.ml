let () =
  Alcotest.run "checkers" [ ("orders", Test_orders.cases); ("generate", Test_generate.cases) ]
