let test (name, f) = Alcotest.test_case name `Quick f
let () = Alcotest.run "domains" [ ("domains", List.map test Domain_cases.cases) ]
