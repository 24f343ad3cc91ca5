(* Bodies that live in a scope: responses of a client, and streams of a server. *)
open Check
module Client = Soil_http.Client
module H = Cohttp.Header

let with_server = Test_client.with_server
let with_client = Test_client.with_client
let uri = Uri.of_string

(* Responses in a scope *)

let large = String.init 300_000 (fun i -> Char.chr (i land 255))

let writes text sink =
  let n = String.length text in
  let rec go off =
    if off < n then (
      let len = min 50_000 (n - off) in
      D.write_string ~off ~len sink text;
      go (off + len))
  in
  go 0

let opened () =
  let handler _ _ request =
    match Server.path request with
    | "/empty" -> Server.string ""
    | "/again" -> Server.redirect "/large"
    | _ -> Server.stream (writes large)
  in
  with_server handler @@ fun client ->
  Soil.Task.scope (fun scope ->
      let response, body = Client.open_ scope client `GET (uri "http://a/again") in
      bool "status" true (response.status = `OK);
      int "in use" 0 (Client.idle client);
      string "body" large (D.read_all ~max:max_int body);
      int "returned at its end" 1 (Client.idle client);
      string "still at its end" "" (D.read_all body);
      let _, body = Client.open_ scope client `GET (uri "http://a/empty") in
      int "nothing to read" 1 (Client.idle client);
      string "empty" "" (D.read_all body));
  int "one connection" 1 (Client.opened client)

let ends_with_its_scope () =
  with_server ~max_connections:1 (fun _ _ _ -> Server.stream (writes large)) @@ fun client ->
  let body =
    Soil.Task.scope @@ fun scope ->
    let _, body = Client.open_ scope client `GET (uri "http://a/") in
    ignore (D.read body (Bytes.create 10) 0 10);
    body
  in
  int "not returned" 0 (Client.idle client);
  (match D.read body (Bytes.create 10) 0 10 with
  | _ -> Alcotest.fail "read after the scope"
  | exception Soil.Error _ -> ());
  Soil.Task.scope (fun scope ->
      let _, body = Client.open_ scope client `GET (uri "http://a/") in
      D.close body;
      (* The only place is free again. *)
      let _, body = Client.open_ scope client `GET (uri "http://a/") in
      string "another" large (D.read_all ~max:max_int body));
  int "connections" 3 (Client.opened client)

let failures () =
  let truncated = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello" in
  with_client (Test_client.canned truncated) @@ fun client ->
  Soil.Task.scope @@ fun scope ->
  let _, body = Client.open_ scope client `GET (uri "http://a/") in
  Test_client.fails_with Client.Truncated (fun () -> D.read_all body);
  int "not kept" 0 (Client.idle client)

exception Mistake

(* The function that writes the request's body fails while the response is read. *)
let mistaken_body () =
  let handler _ _ request =
    let source = Server.body request in
    Server.stream (fun sink -> ignore (D.copy ~src:source ~dst:sink ()))
  in
  with_server handler @@ fun client ->
  Soil.Task.scope @@ fun scope ->
  let write sink =
    D.write_string sink "first";
    raise Mistake
  in
  match
    let _, body =
      Client.open_ scope client `POST (uri "http://a/") ~body:(Client.Stream (None, write))
    in
    D.read_all body
  with
  | _ -> Alcotest.fail "no failure"
  | exception Mistake -> ()

(* Any number of requests in one scope, each left where the generator says. *)
let leaves_none =
  let requests =
    QCheck2.Gen.(list_size (int_bound 8) (pair (int_bound 100_000) (int_bound 110_000)))
  in
  property_in_run ~count:100 "each connection is returned or closed" requests (fun requests ->
      let handler _ _ request =
        let n = int_of_string (List.assoc "n" (Server.query request) |> List.hd) in
        Server.stream (writes (String.sub large 0 n))
      in
      with_server ~max_connections:20 handler @@ fun client ->
      Soil.Task.scope (fun scope ->
          List.iter
            (fun (n, wanted) ->
              let target = uri (Printf.sprintf "http://a/?n=%d" n) in
              let _, body = Client.open_ scope client `GET target in
              let b = Bytes.create (max 1 wanted) in
              let rec read got =
                if got < wanted then
                  match D.read body b got (wanted - got) with 0 -> got | k -> read (got + k)
                else got
              in
              int "read" (min n wanted) (read 0))
            requests);
      let rest = Client.idle client in
      (* A place is free for each of the next. *)
      ignore
        (Soil.Task.map (fun _ -> Client.get client (uri "http://a/?n=1")) (List.init 20 Fun.id));
      rest <= Client.opened client)

(* The ends of streams *)

let name = function
  | Server.Sent -> "sent"
  | Cut -> "cut"
  | Unneeded -> "unneeded"
  | Not_begun -> "not begun"

(* The ends of the streams that a server with this handler makes in [f]. *)
let ends f =
  let found = ref [] in
  let on_end ending =
    (* It may wait. *)
    Soil.Task.yield ();
    found := name ending :: !found
  in
  f on_end;
  List.rev !found

let after_each_end () =
  let check what wanted f = strings what wanted (ends f) in
  check "sent" [ "sent"; "sent" ] (fun on_end ->
      ignore (answers (fun _ -> Server.stream ~on_end (writes "hello")) [ get "/"; get "/" ]));
  check "HEAD" [ "unneeded" ] (fun on_end ->
      ignore
        (answers
           (fun _ -> Server.stream ~on_end (writes "hello"))
           [ "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" ]));
  check "304" [ "unneeded" ] (fun on_end ->
      ignore
        (answers
           (fun _ -> Server.stream ~status:`Not_modified ~on_end (writes "hello"))
           [ get "/" ]));
  check "a mistake in the head" [ "not begun" ] (fun on_end ->
      let headers = H.init_with "x" "a\r\nb" in
      try ignore (answers (fun _ -> Server.stream ~headers ~on_end (writes "hello")) [ get "/" ])
      with Invalid_argument _ -> ());
  check "a mistake in the body" [ "cut" ] (fun on_end ->
      try ignore (answers (fun _ -> Server.stream ~on_end (fun _ -> raise Mistake)) [ get "/" ])
      with Mistake -> ());
  check "too short" [ "cut" ] (fun on_end ->
      try ignore (answers (fun _ -> Server.stream ~length:9 ~on_end (writes "hello")) [ get "/" ])
      with Failure _ -> ())

(* The client goes away after so many bytes. *)
let client_goes_away =
  property_in_run ~count:100 "an end however much is read"
    QCheck2.Gen.(int_bound 400_000)
    (fun wanted ->
      let client, server = Soil.Flow.pair () and got = ref 0 in
      let found =
        ends @@ fun on_end ->
        let serve () =
          Fun.protect ~finally:(fun () -> D.close server) @@ fun () ->
          Server.connection server (fun _ -> Server.stream ~on_end (writes large))
        in
        let ask () =
          D.write_string client (get "/");
          let b = Bytes.create (max 1 wanted) in
          let rec read () =
            if !got < wanted then
              match D.read client b !got (wanted - !got) with
              | 0 -> ()
              | n ->
                  got := !got + n;
                  read ()
          in
          (* What is wanted may be more than there is. *)
          Soil.Task.protect (fun () -> ignore (Soil.Task.timeout_opt 0.02 read));
          D.close client
        in
        ignore (Soil.Task.both serve ask)
      in
      found = [ "sent" ] || (!got < 310_000 && found = [ "cut" ]))

(* Scopes of requests *)

let scope_of_a_request () =
  let events = ref [] in
  let note event = events := event :: !events in
  let handler request =
    note "begins";
    Soil.Task.on_release (Server.scope request) (fun () -> note "released");
    Server.stream
      ~on_end:(fun ending -> note (name ending))
      (fun sink ->
        note "writes";
        D.write_string sink "hello")
  in
  ignore (answers handler [ get "/"; get "/" ]);
  let one = [ "begins"; "writes"; "sent"; "released" ] in
  strings "in order" (one @ one) (List.rev !events)

let fails_before () =
  let handler request =
    ignore (Soil.Task.spawn (Server.scope request) (fun () -> raise Mistake));
    Soil.Clock.sleep 10.;
    Server.string "late"
  in
  let text = ref "" in
  let client, server = Soil.Flow.pair () in
  let serve () =
    Fun.protect ~finally:(fun () -> D.close server) @@ fun () ->
    match Server.connection server handler with
    | () -> Alcotest.fail "no failure"
    | exception Mistake -> ()
  in
  let ask () =
    D.write_string client (get "/");
    text := D.read_all client
  in
  ignore (Soil.Task.both serve ask);
  string "status" "500" (status !text)

(* A relay in a line: each end of the one side ends the other. *)
let relay () =
  let cut = Soil.Task.Promise.create () and gate = Soil.Task.Promise.create () in
  let backend _ _ request =
    match Server.path request with
    | "/all" -> Server.stream (writes large)
    | "/slow" ->
        Server.stream ~on_end:(Soil.Task.Promise.fulfil cut) (fun sink ->
            D.write_string sink "first";
            Soil.Task.Promise.fulfil gate ();
            while true do
              D.write_string sink large
            done)
    | _ -> raise Mistake
  in
  let truncated = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello" in
  with_client (fun host port d ->
      if host = "broken" then Test_client.canned truncated host port d
      else Server.connection d (backend host port))
  @@ fun backend ->
  let handler request =
    let target = uri ("http://" ^ Option.get (Server.header request "x") ^ Server.path request) in
    let response, body = Client.open_ (Server.scope request) backend `GET target in
    Server.stream ~status:response.status (fun sink -> ignore (D.copy ~src:body ~dst:sink ()))
  in
  let ask host target = get ~fields:("x: " ^ host ^ "\r\n") target in
  let ended text = String.ends_with ~suffix:"\r\n0\r\n\r\n" text in
  bool "whole" true (ended (answers handler [ ask "a" "/all" ]));
  int "kept" 1 (Client.idle backend);
  (match answers handler [ ask "broken" "/" ] with
  | text -> bool "cut" false (ended text)
  | exception Client.Failed (_, Truncated) -> ());
  let client, server = Soil.Flow.pair () in
  let serve () =
    Fun.protect ~finally:(fun () -> D.close server) (fun () -> Server.connection server handler)
  in
  let leave () =
    D.write_string client (ask "a" "/slow");
    Soil.Task.Promise.await gate;
    D.close client
  in
  ignore (Soil.Task.both serve leave);
  string "the backend knows" "cut" (name (Soil.Task.Promise.await cut))

(* When [serve] is cancelled, a stream has the time of grace. *)
let grace () =
  let run ~grace write =
    ends @@ fun on_end ->
    let listener = Soil.Tcp.listen ~address:Soil.Net.loopback ~port:0 () in
    let begun = Soil.Task.Promise.create () in
    Soil.Task.scope @@ fun scope ->
    let handler _ =
      Server.stream ~on_end (fun sink ->
          D.write_string sink "first";
          Soil.Task.Promise.fulfil begun ();
          write sink)
    in
    let server = Soil.Task.spawn scope (fun () -> Server.serve ~grace listener handler) in
    let client = Soil.Tcp.connect (Soil.Tcp.local listener) in
    D.write_string client (get "/");
    Soil.Task.Promise.await begun;
    Soil.Task.cancel server;
    ignore (Soil.Task.result server);
    (try ignore (D.read_all client) with Soil.Error _ -> ());
    D.close client
  in
  strings "within" [ "sent" ] (run ~grace:60. (fun _ -> Soil.Clock.sleep 0.05));
  strings "after" [ "cut" ] (run ~grace:0.01 (fun _ -> Soil.Clock.sleep 60.))

let tests =
  [
    in_run "a response in a scope" opened;
    in_run "ends with its scope" ends_with_its_scope;
    in_run "failures while it is read" failures;
    in_run "a mistake in the body of the request" mistaken_body;
    leaves_none;
    in_run "each end of a stream" after_each_end;
    client_goes_away;
    in_run "the scope of a request" scope_of_a_request;
    in_run "a failure in the scope of a request" fails_before;
    in_run "a relay" relay;
    in_run "a stream within the time of grace" grace;
  ]
