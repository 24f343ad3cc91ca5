let () =
  Alcotest.run "soil-http"
    [
      ("requests", Test_requests.tests);
      ("responses", Test_responses.tests);
      ("files", Test_files.tests);
      ("client", Test_client.tests);
      ("streams", Test_streams.tests);
      ("tests of handlers", Test_test.tests);
      ("proxy", Test_proxy.tests);
      ("fields of a proxy", Test_proxy_fields.tests);
      ("hostile peers of a proxy", Test_proxy_peers.tests);
      ("websocket", Test_websocket.tests);
      ("events", Test_events.tests);
      ("router", Test_router.tests);
      ("middleware", Test_middleware.tests);
      ("error page", Test_error_page.tests);
      ("forwarded", Test_forwarded.tests);
      ("limits of rates", Test_limit.tests);
      ("budget", Test_budget.tests);
      ("cookies", Test_cookie.tests);
      ("signed cookies", Test_signed.tests);
      ("sessions", Test_session.tests);
      ("credentials", Test_auth.tests);
      ("forms", Test_form.tests);
      ("HPACK", Test_hpack.tests);
      ("attacks on HTTP/2", Test_http2_attacks.tests);
      ("smuggling from HTTP/2", Test_http2_smuggling.tests);
      ("HTTP/2", Test_http2.tests);
      ("early answers", Test_early_answers.tests);
      ("clients that leave", Test_leavers.tests);
    ]
