let () =
  Alcotest.run "soil"
    [
      ("lists", Test_lists.tests);
      ("effects", Test_effects.tests);
      ("tasks", Test_tasks.tests);
      ("cancellation", Test_cancel.tests);
      ("losing nothing", Test_lossless.tests);
      ("synchronisation", Test_sync.tests);
      ("descriptors", Test_descriptors.tests);
      ("flows", Test_flow.tests);
      ("connections", Test_connections.tests);
      ("serve", Test_serve.tests);
      ("options", Test_options.tests);
      ("streams", Test_streams.tests);
      ("packets", Test_packets.tests);
      ("values", Test_values.tests);
    ]
