(* The client of gRPC's interoperability tests: calls the server whose address and port are the first
   arguments, and prints a line for each case. *)

open Testing
module Client = Soil_grpc.Client
module Status = Soil_grpc.Status
module Reader = Soil_grpc.Reader
module Health = Soil_grpc.Health

let say what text = print_endline (what ^ ": " ^ text)
let check what holds = say what (if holds then "ok" else "WRONG")
let status f = match f () with _ -> Status.ok | exception Status.Failed s -> s
let code what f = say what (Status.name (status f).code)
let is_zeros n s = s = zeros n
let request response_size body = { simple with response_size; payload = zeros body }
let large = request 314159 271828
let sized ?(compressed = false) size = { size; interval = 0.; compressed }

let ask ?(interval = 0.) size body =
  { output with parameters = [ { (sized size) with interval } ]; text = zeros body }

let all r = List.rev (Reader.fold (fun l v -> v :: l) [] r)
let inputs l = List.map (fun n -> { body = zeros n; is_compressed = false }) l

let one_request client =
  check "empty_unary" (Client.unary client empty_call () = ());
  check "large_unary" (is_zeros 314159 (Client.unary client unary_call large));
  let compressed response_compressed =
    is_zeros 314159
      (Client.unary client ~compress:true unary_call { large with response_compressed })
  in
  check "client_compressed_unary" (compressed false);
  check "server_compressed_unary" (compressed true)

let streams client =
  let sum = Client.client_stream client streaming_input in
  check "client_streaming"
    (sum (fun send -> List.iter send (inputs [ 27182; 8; 1828; 45904 ])) = 74922);
  let parameters = List.map sized [ 31415; 9; 2653; 58979 ] in
  let sizes parameters =
    List.map String.length
      (Client.server_stream client streaming_output { output with parameters } all)
  in
  check "server_streaming" (sizes parameters = [ 31415; 9; 2653; 58979 ]);
  check "server_compressed_streaming"
    (sizes [ sized ~compressed:true 31415; sized 92653 ] = [ 31415; 92653 ]);
  let talk sender responses =
    let turn (size, body) =
      Client.send sender (ask size body);
      match Reader.next responses with Some s -> is_zeros size s | None -> false
    in
    let answers = List.map turn [ (31415, 27182); (9, 8); (2653, 1828); (58979, 45904) ] in
    Client.finish sender;
    List.for_all Fun.id answers && Reader.next responses = None
  in
  check "ping_pong" (Client.two_way client full_duplex talk);
  check "empty_stream"
    (Client.two_way client full_duplex (fun sender responses ->
         Client.finish sender;
         all responses = []))

(* What ends a call before its time. *)
let ends client =
  code "timeout_on_sleeping_server" (fun () ->
      Client.two_way client ~timeout:0.001 full_duplex (fun sender responses ->
          Client.send sender (ask ~interval:10. 1 27182);
          all responses));
  let begun = Soil.Task.Promise.create () in
  Soil.Task.scope (fun scope ->
      let call () =
        Client.client_stream client streaming_input (fun send ->
            List.iter send (inputs [ 1 ]);
            Soil.Task.Promise.fulfil begun ();
            Soil.Clock.sleep infinity)
      in
      let task = Soil.Task.spawn scope call in
      Soil.Task.Promise.await begun;
      Soil.Task.cancel task;
      check "cancel_after_begin"
        (match Soil.Task.await task with _ -> false | exception Soil.Task.Cancelled -> true));
  check "cancel_after_first_response"
    (Client.two_way client full_duplex (fun sender responses ->
         Client.send sender (ask 31415 27182);
         Reader.next responses <> None))

let echoed =
  [
    ("x-grpc-test-echo-initial", "test_initial_metadata_value");
    ("x-grpc-test-echo-trailing-bin", "\xab\xab\xab");
  ]

let metadata client =
  let head = ref [] and trailers = ref [] in
  let on_head m = head := m and on_trailers m = trailers := m in
  let is_echoed () =
    let found = List.filter (fun (name, _) -> List.mem_assoc name echoed) (!head @ !trailers) in
    head := [];
    trailers := [];
    found = echoed
  in
  ignore (Client.unary client ~metadata:echoed ~on_head ~on_trailers unary_call (request 1 1));
  check "custom_metadata, unary" (is_echoed ());
  let talk sender responses =
    Client.send sender (ask 1 1);
    Client.finish sender;
    all responses
  in
  ignore (Client.two_way client ~metadata:echoed ~on_head ~on_trailers full_duplex talk);
  check "custom_metadata, a stream" (is_echoed ())

let special = "\t\ntest with whitespace\r\nand Unicode BMP \u{263a} and non-BMP \u{1f608}\t\n"

let statuses client =
  let failed message = { code = 2; message } in
  let unary message =
    status (fun () -> Client.unary client unary_call { simple with status = Some (failed message) })
    = Status.v Unknown message
  in
  check "status_code_and_message, unary" (unary "test status message");
  check "status_code_and_message, a stream"
    (status (fun () ->
         Client.two_way client full_duplex (fun sender responses ->
             Client.send sender { output with failure = Some (failed "test status message") };
             Client.finish sender;
             all responses))
    = Status.v Unknown "test status message");
  check "special_status_message" (unary special);
  code "unimplemented_method" (fun () -> Client.unary client unimplemented ());
  code "unimplemented_service" (fun () -> Client.unary client unimplemented_service ())

(* What one call does to others of its connection: nothing. *)
let alone client =
  let large () =
    let metadata = [ ("x-trailer-size", "100000") ] in
    Client.unary client ~metadata unary_call (request 1 1)
  in
  let wait sender responses =
    Client.send sender (ask 1 1);
    let first = Reader.next responses in
    code "large_trailers" large;
    Client.send sender (ask 2 1);
    Client.finish sender;
    first <> None && List.length (all responses) = 1
  in
  check "a call beside them" (Client.two_way client full_duplex wait);
  (* The server answers after the first of them, and opens no more windows. *)
  let early = Client.client_stream client ~metadata:[ ("x-early", "1") ] streaming_input in
  check "early_answer"
    (early (fun send -> List.iter send (inputs (List.init 200 (fun _ -> 10_000)))) = 10_000)

(* So many calls, of which many are open at a time. *)
let many client n =
  let call i = String.length (Client.unary client unary_call (request (i land 1023) 10)) in
  let rec go sum i =
    if i >= n then sum
    else
      let sizes = Soil.Task.map call (List.init (min 100 (n - i)) (fun k -> i + k)) in
      go (List.fold_left ( + ) sum sizes) (i + 100)
  in
  let expected = List.fold_left (fun sum i -> sum + (i land 1023)) 0 (List.init n Fun.id) in
  check "many calls" (go 0 0 = expected)

let () =
  Soil.run @@ fun () ->
  let host = Sys.argv.(1) and port = int_of_string Sys.argv.(2) in
  let connect ~host:_ ~port:_ = Patience.insist (fun () -> Soil.Tcp.connect_host host ~port) in
  let http2 = Soil_http.Http2.client () in
  let http = Soil_http.Client.create ~max_redirects:0 ~connect ~http2 () in
  let client = Client.create ~encodings:[ gzip ] http (Uri.of_string "http://soil.test") in
  one_request client;
  streams client;
  ends client;
  metadata client;
  statuses client;
  alone client;
  many client 1000;
  (match Health.check client service with
  | Some Serving -> say "health" "serving"
  | Some Not_serving -> say "health" "not serving"
  | None -> say "health" "unknown"
  | exception Status.Failed s -> say "health" (Status.to_string s));
  say "connections" (string_of_int (Soil_http.Client.opened http));
  print_endline "done"
