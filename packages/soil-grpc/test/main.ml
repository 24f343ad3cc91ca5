(* Over a version of HTTP: programs of Soil understand each other over both. *)
let over ~http2 tests =
  let one (name, speed, run) =
    ( name,
      speed,
      fun () ->
        App.is_http2 := http2;
        run () )
  in
  List.map one tests

let both name tests =
  [ (name, over ~http2:true tests); (name ^ ", HTTP/1.1", over ~http2:false tests) ]

let () =
  Alcotest.run "soil-grpc"
    ([ ("wire format", Test_wire.tests); ("requests", Test_requests.tests) ]
    @ both "calls" Test_calls.tests
    @ both "failures" Test_failures.tests
    @ both "early answers" Test_early.tests
    @ both "clients that leave" Test_leavers.tests
    @ [ ("early answers, by frames", Test_early.frames) ]
    @ both "repetitions" Test_retries.tests
    @ both "services" Test_services.tests)
