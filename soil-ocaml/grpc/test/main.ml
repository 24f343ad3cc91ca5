let () =
  Alcotest.run "soil.grpc"
    [
      ("wire format", Test_wire.tests);
      ("requests", Test_requests.tests);
      ("calls", Test_calls.tests);
      ("failures", Test_failures.tests);
      ("repetitions", Test_retries.tests);
      ("services", Test_services.tests);
    ]
