let () =
  Alcotest.run "soil"
    [
      ("effects", Test_effects.tests);
      ("tasks", Test_tasks.tests);
      ("cancellation", Test_cancel.tests);
      ("losing nothing", Test_lossless.tests);
      ("synchronisation", Test_sync.tests);
      ("descriptors", Test_descriptors.tests);
      ("network", Test_network.tests);
      ("values", Test_values.tests);
    ]
