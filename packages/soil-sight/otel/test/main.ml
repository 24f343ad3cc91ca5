let () =
  Alcotest.run "soil-sight.otel"
    [
      ("context", Test_context.tests);
      ("spans", Test_spans.tests);
      ("export", Test_export.tests);
      ("http", Test_http.tests);
      ("grpc", Test_grpc.tests);
      ("signals", Test_signals.tests);
    ]
