(* The middleware, the client and the proxy: spans, parents, and fields. *)
open Collector
module Http = Soil_otel_http
module Client = Soil_http.Client

let uri path = Uri.of_string ("http://server:81" ^ path)

let parents request =
  let values = Cohttp.Header.get_multi (Server.head request).headers in
  String.concat " " (values "traceparent" @ values "tracestate")

exception Broken

let app request =
  match Server.path request with
  | "/users/7" ->
      Server.Request.set_route request "/users/:id";
      Otel.with_span "work" ignore;
      Server.string "user"
  | "/broken" -> raise Broken
  | "/forbidden" -> raise (Server.Refused `Forbidden)
  | "/unavailable" -> Server.status `Service_unavailable
  | "/parents" -> Server.string (parents request)
  | "/current" -> Server.string (String.concat " " (List.map snd (Otel.fields (Otel.current ()))))
  | "/named" ->
      Otel.set_name (Otel.current ()) "mine";
      Server.Request.set_route request "/named";
      Server.string ""
  | "/stream" ->
      let span = Otel.current () in
      Server.stream (fun sink ->
          Soil.Clock.sleep 3.;
          bool "still open" true (Otel.is_recording span);
          Soil.File_descriptor.write_string sink "piece")
  | "/slow" ->
      Soil.Clock.sleep 50.;
      Server.string ""
  | _ -> Server.status `Not_found

(* [f client] with a client of [app]. *)
let serving ?accept ?(handler = app) f =
  Test.run ~on_error:ignore (Http.middleware ?accept () handler) f

let get ?headers t path = Test.get ?headers:(Option.map Cohttp.Header.of_list headers) t path

let requests () =
  let c =
    exporting (fun _ _ ->
        serving @@ fun t ->
        let headers = [ ("user-agent", "agent/1") ] in
        ignore (get ~headers t "http://example.org:8080/users/7?secret=1");
        ignore (get t "/broken");
        ignore (get t "/forbidden");
        ignore (get t "/unavailable");
        ignore (get t "/named");
        ignore (Test.request t (`Other "BREW") "/pot"))
  in
  strings "names"
    [ "work"; "GET /users/:id"; "GET"; "GET"; "GET"; "mine"; "HTTP" ]
    (names (spans c));
  let user = named c "GET /users/:id" in
  string "parent" (text "spanId" user) (text "parentSpanId" (named c "work"));
  int "kind" 2 (number "kind" user);
  strings "attributes"
    [
      "http.request.method=GET"; "url.scheme=http"; "url.path=/users/7";
      "network.protocol.version=1.1"; "server.address=example.org"; "server.port=8080";
      "client.address=192.0.2.1"; "user_agent.original=agent/1"; "http.response.status_code=200";
      "http.route=/users/:id";
    ]
    (attributes user) [@ocamlformat "disable"];
  int "no error" 0 (status_code user);
  let status i =
    let span = List.nth (spans c) i in
    (attribute span "http.response.status_code", status_code span, attribute span "error.type")
  in
  let check what expected i =
    Alcotest.(check (triple string int string)) what expected (status i)
  in
  check "exception" ("500", 2, "500") 2;
  check "refused" ("403", 0, "") 3;
  check "unavailable" ("503", 2, "503") 4;
  let broken = List.nth (spans c) 2 in
  strings "its event" [ "exception" ] (names (events broken));
  let brew = named c "HTTP" in
  string "other methods" "_OTHER" (attribute brew "http.request.method");
  string "as it came" "BREW" (attribute brew "http.request.method_original");
  check "not found" ("404", 0, "") 6

(* Spans end with the response. *)
let ends () =
  let c =
    exporting (fun _ _ ->
        serving (fun t ->
            string "stream" "piece" (get t "/stream").body;
            match T.timeout 1. (fun () -> get t "/slow") with
            | _ -> Alcotest.fail "an answer"
            | exception T.Timeout _ -> Soil.Clock.sleep 5.))
  in
  let stream = List.nth (spans c) 0 and left = List.nth (spans c) 1 in
  let time name = int_of_string (text name stream) in
  bool "with the stream" true (time "endTimeUnixNano" - time "startTimeUnixNano" >= 3_000_000_000);
  string "stream" "200" (attribute stream "http.response.status_code");
  string "a client that left" "" (attribute left "http.response.status_code");
  string "its reason" "cancelled" (attribute left "error.type")

let http2 () =
  let c =
    exporting (fun _ _ ->
        Test.run ~http2:true (Http.middleware () app) (fun t -> ignore (get t "/users/7")))
  in
  string "version" "2" (attribute (named c "GET /users/:id") "network.protocol.version")

(* Whose parents are believed. *)
let strangers () =
  let headers = [ ("traceparent", traceparent ()); ("tracestate", "a=b") ] in
  let run ?(sampler = Otel.Parent_or 1.) accept =
    exporting ~sampler (fun _ _ -> serving ~accept (fun t -> ignore (get ~headers t "/users/7")))
  in
  let span c = named c "GET /users/:id" in
  let trusted = span (run (fun _ -> true)) in
  string "trace" trace_id (text "traceId" trusted);
  string "parent" parent_id (text "parentSpanId" trusted);
  string "state" "a=b" (text "traceState" trusted);
  int "remote" 0x301 (number "flags" trusted);
  bool "no link" true (Json.member "links" trusted = `Null);
  let root = span (run (fun _ -> false)) in
  bool "another trace" true (text "traceId" root <> trace_id);
  string "no parent" "" (text "parentSpanId" root);
  string "a link" trace_id (text "traceId" (Json.index 0 (Json.member "links" root)));
  string "its span" parent_id (text "spanId" (Json.index 0 (Json.member "links" root)));
  int "the stranger's flag" 0 (List.length (spans (run ~sampler:(Parent_or 0.) (fun _ -> false))));
  int "the proxy's flag" 2 (List.length (spans (run ~sampler:(Parent_or 0.) (fun _ -> true))))

(* A trace that isn't recorded goes on as one. *)
let unsampled () =
  let c =
    exporting ~sampler:(Ratio 0.) (fun _ _ ->
        serving ~accept:(fun _ -> true) @@ fun t ->
        let headers = [ ("traceparent", traceparent ~flags:"00" ()) ] in
        let current = (get ~headers t "/current").body in
        string "trace" ("00-" ^ trace_id) (String.sub current 0 35);
        bool "a span of its own" true (String.sub current 36 16 <> parent_id);
        string "flags" "-00" (String.sub current 52 3))
  in
  int "nothing is sent" 0 (List.length c.requests)

let client () =
  let body = ref "" and parent = ref "" in
  let c =
    exporting (fun _ _ ->
        serving ~accept:(fun _ -> true) @@ fun t ->
        let client = Test.client t in
        Otel.with_span "outer" @@ fun outer ->
        parent := (Option.get (Otel.context outer)).span_id;
        (* The caller's own, as of a request that is passed on, doesn't belong to this parent. *)
        let fields = [ ("Traceparent", traceparent ()); ("tracestate", "a=b") ] in
        let headers = Cohttp.Header.of_list (fields @ fields) in
        let to_parents = Uri.of_string "http://u:p@server:81/parents?q=1#f" in
        body := snd (Http.Client.get ~headers client to_parents);
        ignore (Http.Client.post client (uri "/missing") (String "x"));
        Http.Client.request client `PUT (uri "/users/7") (fun _ source ->
            string "body" "user" (Soil.File_descriptor.read_all source));
        T.scope (fun scope -> ignore (Http.Client.open_ scope client `GET (uri "/stream")));
        match Http.Client.request client `GET (uri "/parents") (fun _ _ -> raise Broken) with
        | () -> Alcotest.fail "no exception"
        | exception Broken -> ())
  in
  let of_client = List.filter (fun span -> number "kind" span = 3) (spans c) in
  strings "names" [ "GET"; "POST"; "PUT"; "GET"; "GET" ] (names of_client);
  List.iter (fun span -> string "parent" !parent (text "parentSpanId" span)) of_client;
  let first = List.hd of_client and post = List.nth of_client 1 in
  string "sent" (String.concat "-" [ "00"; text "traceId" first; text "spanId" first; "03" ]) !body;
  strings "attributes"
    [
      "http.request.method=GET"; "server.address=server"; "server.port=81";
      "url.full=http://server:81/parents"; "http.response.status_code=200";
    ]
    (attributes first) [@ocamlformat "disable"];
  int "not found" 2 (status_code post);
  string "its type" "404" (attribute post "error.type");
  let server = named c "PUT /users/:id" in
  string "the server's parent" (text "spanId" (List.nth of_client 2)) (text "parentSpanId" server);
  int "exception" 2 (status_code (List.nth of_client 4))

let without () =
  serving @@ fun t ->
  string "no fields" "" (snd (Http.Client.get (Test.client t) (uri "/parents")));
  string "as they came" (traceparent ())
    (get ~headers:[ ("traceparent", traceparent ()) ] t "/parents").body

let proxy () =
  let seen = ref [] in
  let backend request =
    seen := parents request :: !seen;
    Server.string ""
  in
  let headers = [ ("traceparent", traceparent ()); ("tracestate", "a=b") ] in
  let ask () =
    T.scope @@ fun scope ->
    Test.run backend @@ fun back ->
    let connect ~host:_ ~port:_ = Test.connect back in
    let proxy = Soil_http.Proxy.create ~connect ~fields:Http.proxy_fields scope [ uri "" ] in
    serving ~handler:(Soil_http.Proxy.handle proxy) (fun t -> ignore (get ~headers t "/x"))
  in
  ask ();
  strings "not running: as it came" [ traceparent () ^ " a=b" ] !seen;
  seen := [];
  let c = exporting (fun _ _ -> ask ()) in
  let span = List.hd (spans c) in
  strings "the proxy's span"
    [ String.concat "-" [ "00"; text "traceId" span; text "spanId" span; "03" ] ]
    !seen

(* The requests of the exporter have no spans. *)
let exporter () =
  let c =
    exporting ~limits:{ limits with seconds = 1. } (fun c _ ->
        Otel.with_span "only" ignore;
        Soil.Clock.sleep 30.;
        int "one request" 1 (List.length c.requests))
  in
  strings "spans" [ "only" ] (names (spans c));
  bool "no parent" true (Cohttp.Header.get c.headers "traceparent" = None)

let tests =
  [
    test "requests" requests;
    test "ends" ends;
    test "HTTP/2" http2;
    test "strangers" strangers;
    test "traces that aren't recorded" unsampled;
    test "client" client;
    test "not running" without;
    test "proxy" proxy;
    test "the exporter's requests" exporter;
  ]
