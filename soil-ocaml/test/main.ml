(* What only Soil's own stack can do, or only a program without interfaces: not with
   SOIL_NET=host. *)
let of_the_stack =
  [
    "no network";
    "options at the beginning";
    "keep-alive's three numbers";
    "bound first";
    "effects of options";
    "what a listener passes on";
    "options of connect";
    "sizes of buffers and congestion control";
    "hop limit and DSCP";
    "urgent data given back";
    "urgent data";
    "packet filter and raw frames without a card";
    "ping and routes";
  ]

let hosted = Sys.getenv_opt "SOIL_NET" = Some "host"

let of_this_network cases =
  let runs (name, _, _) = not (List.mem name of_the_stack) in
  if hosted then List.filter runs cases else cases

let () =
  Alcotest.run "soil"
    ((if hosted then [ ("hosted", Test_hosted.tests) ] else [])
    @ [
        ("lists", Test_lists.tests);
        ("strings", Test_strings.tests);
        ("effects", Test_effects.tests);
        ("tasks", Test_tasks.tests);
        ("cancellation", Test_cancel.tests);
        ("losing nothing", Test_lossless.tests);
        ("supervisors", Test_supervisor.tests);
        ("trees of supervisors", Test_supervisor_trees.tests);
        ("synchronisation", Test_sync.tests);
        ("posts", Test_posts.tests);
        ("group commit", Test_group_commit.tests);
        ("the log of Kv", Test_kv_log.tests);
        ("Kv and crashes", Test_kv_crash.tests);
        ("broadcasts", Test_broadcast.tests);
        ("PROXY protocol", Test_proxy_protocol.tests);
        ("descriptors", Test_descriptors.tests);
        ("readers and writers", Test_buffered.tests);
        ("flows", Test_flow.tests);
        ("connections", of_this_network Test_connections.tests);
        ("serve", Test_serve.tests);
        ("budget", Test_budget.tests);
        ("options", of_this_network Test_options.tests);
        ("streams", of_this_network Test_streams.tests);
        ("packets", of_this_network Test_packets.tests);
        ("virtual clock", Test_virtual_clock.tests);
        ("values", Test_values.tests);
      ])
