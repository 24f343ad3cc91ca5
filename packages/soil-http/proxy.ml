module D = Soil.File_descriptor
module H = Cohttp.Header
module T = Soil.Task

type state = Up | Failing | Down | Draining

type backend = {
  uri : Uri.t;
  client : Exchange.t; (* Its connections only, of which each request finds one. *)
  origin : Exchange.origin;
  base : string; (* Goes before the path of a request; without a slash at its end. *)
  mutable active : int; (* Requests. *)
  mutable tunnels : int; (* They take no place of a request. *)
  mutable failures : int; (* In a row. *)
  mutable avoided_until : float;
  mutable checked_down : bool;
  mutable draining : bool;
}

type health = { path : string; interval : float; fall : int; rise : int }

type t = {
  connections : unit -> Exchange.t;
  mutable backends : backend list;
  mutable turn : int;
  max_requests : int;
  max_tunnels : int;
  mutable tunnels : int; (* Of all backends. *)
  requests_of : Shares.t; (* What each client has. *)
  tunnels_of : Shares.t;
  client : Server.request -> string option;
  max_body : int option;
  wait_seconds : float;
  stall_seconds : float;
  eager : bool;
  retries : int;
  max_failures : int;
  tunnel_seconds : float;
  avoid_seconds : float;
  name : string;
  scheme : string;
  fields : Server.request -> (string * string option) list;
  on_failure : Uri.t -> string -> unit;
  changed : T.Condition.t; (* A place is free, or a backend is up. *)
  drained : T.Condition.t; (* A draining backend has one request less, or doesn't drain. *)
  mutable selective : int; (* Requests that wait for a place at some of the backends only. *)
  mutable start : backend -> unit;
}

let small = 16384

let report uri reason =
  Soil.Private.print_error (fun () -> "http proxy " ^ Uri.to_string uri ^ ": " ^ reason ^ "\n")

(* Backends *)

let state_of b =
  if b.draining then Draining
  else if b.checked_down then Down
  else if b.avoided_until > 0. && b.avoided_until > Soil.Clock.monotonic () then Failing
  else Up

let in_use (b : backend) = b.active + b.tunnels
let backends t = List.map (fun b -> (b.uri, state_of b, in_use b)) t.backends

(* Those to choose from: a failing one only if none is up. *)
let usable t tried =
  let having state b = state_of b = state && not (List.memq b tried) in
  match List.filter (having Up) t.backends with
  | [] -> List.filter (having Failing) t.backends
  | up -> up

(* The one with the fewest requests; the next in turn of several. *)
let least t b rest =
  t.turn <- t.turn + 1;
  let first = t.turn mod (1 + List.length rest) in
  let rec go i best at = function
    | [] -> best
    | b :: rest ->
        let comes_before = i >= first && at < first in
        if b.active < best.active || (b.active = best.active && comes_before) then
          go (i + 1) b i rest
        else go (i + 1) best at rest
  in
  go 1 b 0 rest

type place = At of backend | Busy | No_backend

let place t tried =
  match usable t tried with
  | [] -> No_backend
  | b :: rest ->
      let b = least t b rest in
      if b.active < t.max_requests then (
        b.active <- b.active + 1;
        At b)
      else Busy

let rec await_place t tried =
  T.Condition.wait_no_mutex t.changed;
  match place t tried with Busy -> await_place t tried | found -> found

let wait_for_place t tried =
  let selective = if List.is_empty tried then 0 else 1 in
  t.selective <- t.selective + selective;
  Fun.protect
    ~finally:(fun () -> t.selective <- t.selective - selective)
    (fun () ->
      Option.value ~default:Busy (T.timeout_opt t.wait_seconds (fun () -> await_place t tried)))

let take t tried = match place t tried with Busy -> wait_for_place t tried | found -> found

let leave t b =
  b.active <- b.active - 1;
  if b.draining then T.Condition.broadcast t.drained
  else if t.selective > 0 then
    (* The one that has waited longest may have no use for this place. *)
    T.Condition.broadcast t.changed
  else T.Condition.signal t.changed

let failed t b reason =
  t.on_failure b.uri reason;
  b.failures <- b.failures + 1;
  if b.failures >= t.max_failures then b.avoided_until <- Soil.Clock.monotonic () +. t.avoid_seconds

let answered b =
  b.failures <- 0;
  b.avoided_until <- 0.

let find t uri = List.find_opt (fun b -> Uri.equal b.uri uri) t.backends

let rec await_idle t b =
  if b.draining && in_use b > 0 then (
    T.Condition.wait_no_mutex t.drained;
    await_idle t b)

let drain t uri =
  match find t uri with
  | None -> ()
  | Some b ->
      b.draining <- true;
      (* Others may wait for it. *)
      T.Condition.broadcast t.changed;
      await_idle t b;
      if b.draining then (
        t.backends <- List.filter (fun other -> other != b) t.backends;
        Exchange.close b.client)

(* Tunnels *)

let once f =
  let is_due = ref true in
  fun () ->
    if !is_due then (
      is_due := false;
      f ())

let take_tunnel t key =
  if t.tunnels >= t.max_tunnels then Error `Service_unavailable
  else
    match Shares.take t.tunnels_of key ~seconds:0. with
    | None -> Error `Too_many_requests
    | Some leave ->
        t.tunnels <- t.tunnels + 1;
        let leave () =
          t.tunnels <- t.tunnels - 1;
          leave ()
        in
        Ok (once leave)

let enter_tunnel scope t (b : backend) =
  b.tunnels <- b.tunnels + 1;
  T.on_release scope (fun () ->
      b.tunnels <- b.tunnels - 1;
      if b.draining then T.Condition.broadcast t.drained)

(* Bodies *)

(* The client's body failed, and not the backend. *)
exception Of_client of exn * Printexc.raw_backtrace

let reading f = try f () with e -> Soil_backtrace.(reraise (Of_client (e, get ())) (get ()))

(* A backend may not say that it wants a body, and is sent it all the same after a while (RFC 9110
   §10.1.1). *)
let ask_seconds = 1.

(* [waits] is [true] as long as the client is to send more; it has sent [first]. A client that waits
   to be asked is asked when the backend has [asked]. *)
let pass ?asked first source waits ~stall_seconds sink =
  let await_asking asked = ignore (T.timeout_opt ask_seconds (fun () -> T.Promise.await asked)) in
  Option.iter await_asking asked;
  D.write_string sink first;
  Soil.Budget.hold small;
  let b = Bytes.create small in
  let read () =
    match T.timeout_opt stall_seconds (fun () -> D.read source b 0 small) with
    | Some n -> n
    | None -> Soil_backtrace.raise (Server.Refused `Request_timeout)
  in
  let rec go () =
    waits := true;
    let n = reading read in
    waits := false;
    if n > 0 then (
      D.write sink b 0 n;
      go ())
  in
  go ()

(* Waits for all of a small body, or for the first [small] bytes of another one: until then the
   client takes no place of a backend. *)
let receive t request waits length : Exchange.body =
  let source = Server.body ?max:t.max_body request in
  let room = match length with Some n -> min n small | None -> small in
  (* With the copy that is sent. *)
  Soil.Budget.hold (2 * room);
  let b = Bytes.create room in
  let rec fill n =
    if n = room then n else match D.read source b n (room - n) with 0 -> n | m -> fill (n + m)
  in
  let n = fill 0 in
  let first = Bytes.sub_string b 0 n in
  if n < room || length = Some n then String first
  else Stream (length, pass first source waits ~stall_seconds:t.stall_seconds)

(* Both ends of a call of gRPC may wait for what the other one sends next: nothing is held back, and
   the call may be silent for as long as a tunnel. *)
let is_call (head : Cohttp.Request.t) =
  match H.get head.headers "content-type" with
  | Some s -> String.starts_with ~prefix:"application/grpc" s
  | None -> false

let body_of t (request : Server.request) waits ~asked : Exchange.body =
  let head = request.head in
  let eagerly length =
    let source = Server.body ?max:t.max_body request in
    Exchange.Stream (length, pass ?asked "" source waits ~stall_seconds:t.stall_seconds)
  in
  match head.framing with
  | Length 0 -> if H.mem head.request.headers "content-length" then String "" else Empty
  | Length n -> if t.eager then eagerly (Some n) else receive t request waits (Some n)
  | (Chunked | To_end) when is_call head.request ->
      let source =
        Server.body ~max:(Option.value t.max_body ~default:max_int) ~patient:true request
      in
      Stream (None, pass "" source waits ~stall_seconds:t.tunnel_seconds)
  | Chunked | To_end -> if t.eager then eagerly None else receive t request waits None

(* Responses *)

let later request = Server.error request ~headers:(H.init_with "retry-after" "1")
let unavailable request = later request `Service_unavailable

let reason = function
  | e when Soil.Budget.is_refusal e -> None
  | Exchange.Failed (_, problem) -> Some (Exchange.problem_to_string problem)
  | Soil.Error e -> Some (Soil.Error.to_string e)
  | _ -> None

let status_of = function
  | Exchange.Failed (_, Too_slow) | Soil.Error { code = Timed_out; _ } -> `Gateway_timeout
  | _ -> `Bad_gateway

(* A client that is too slow for the place that its response takes is cut off. *)
let rec write_slowly t sink b off len =
  if len > 0 then
    let n = min small len in
    match T.timeout_opt t.stall_seconds (fun () -> D.write sink b off n) with
    | Some () -> write_slowly t sink b (off + n) (len - n)
    | None -> Soil_backtrace.raise Response.Cut

let relayed = 65536

let relay t b (x : Exchange.exchange) ~read_seconds ~over sink =
  let source = Exchange.source x in
  (* The head has been sent: no other answer can be given. *)
  (try Soil.Budget.hold relayed
   with Soil.Error { code = Out_of_memory; _ } -> Soil_backtrace.raise Response.Cut);
  let buffer = Bytes.create relayed in
  let read () =
    try T.timeout read_seconds (fun () -> D.read source buffer 0 (Bytes.length buffer)) with
    | Of_client (e, backtrace) -> Soil_backtrace.reraise e backtrace
    | (Exchange.Failed _ | Soil.Error _ | T.Timeout _) as e ->
        Option.iter (failed t b) (reason e);
        Soil_backtrace.raise Response.Cut
  in
  let rec go () =
    let n = read () in
    if n > 0 then (
      if x.is_finished then (
        over ();
        D.write sink buffer 0 n)
      else write_slowly t sink buffer 0 n;
      go ())
  in
  go ();
  over ()

let read_exactly x n =
  let b = Bytes.create n in
  let rec go off = if off < n then go (off + Exchange.read x b off (n - off)) in
  go 0;
  Bytes.unsafe_to_string b

(* That of a response to HEAD, which nothing has checked. *)
let content_length headers =
  match H.get_multi headers "content-length" with
  | [ digits ] when Grammar.is_digits digits && String.length digits <= 18 ->
      Some (int_of_string digits)
  | _ -> None

let answer t b request (x : Exchange.exchange) ~trailers ~over =
  let status = Cohttp.Code.status_of_code x.head.status
  and headers = Proxy_fields.of_response ~name:t.name x.head [] in
  let is_call = is_call (Server.head request) in
  let read_seconds = if is_call then t.tunnel_seconds else infinity in
  let stream ?length () =
    let trailers () = Proxy_fields.of_trailers !trailers in
    Server.stream ~status ~headers ?length ~trailers (relay t b x ~read_seconds ~over)
  in
  if Body.is_over x.content then (
    Exchange.finish x (fun () -> true);
    over ());
  Body.set_pace x.content (if is_call then Patient else Each_read);
  match ((Server.head request).meth, x.head.framing) with
  | `HEAD, _ -> stream ?length:(content_length x.head.headers) ()
  | _, Length n when n <= small ->
      let text = read_exactly x n in
      over ();
      Server.string ~status ~headers text
  | _, Length n -> stream ~length:n ()
  | _, (Chunked | To_end) -> stream ()

(* Two for each tunnel, for as long as it lasts. *)
let tunnel_buffer = 16384

let tunnel seconds backend ~at_stop:_ client =
  Soil.Budget.hold (2 * tunnel_buffer);
  let last = ref (Soil.Clock.monotonic ()) in
  let source d =
    Soil.Flow.source (fun b off len ->
        let n = D.read d b off len in
        last := Soil.Clock.monotonic ();
        n)
  in
  let pass src dst =
    ignore (D.copy ~buffer:tunnel_buffer ~src:(source src) ~dst ());
    try D.shutdown dst `Send with Soil.Error _ -> ()
  in
  let rec watch () =
    let left = !last +. seconds -. Soil.Clock.monotonic () in
    if left > 0. then (
      Soil.Clock.sleep left;
      watch ())
  in
  let both () = ignore (T.both (fun () -> pass client backend) (fun () -> pass backend client)) in
  (* One side that fails ends both: the other one may never send anything. *)
  try T.first [ both; watch ] with Soil.Error _ -> ()

let protocol = "websocket"

let upgraded t (x : Exchange.exchange) =
  let headers = Proxy_fields.of_response ~name:t.name x.head [ ("upgrade", protocol) ] in
  let body = Response.Upgrade (tunnel t.tunnel_seconds (Input.duplex x.conn.input)) in
  { Response.status = `Switching_protocols; headers; body }

(* Other protocols aren't passed on: by HTTP/2 over a tunnel (h2c) requests would get to a backend
   that no server has checked. *)
let wants_upgrade (head : Cohttp.Request.t) (body : Exchange.body) =
  Grammar.mem head.headers "connection" "upgrade"
  && head.version <> `HTTP_1_0
  && (match body with Empty | String "" -> true | String _ | Stream _ -> false)
  &&
  match H.get_multi head.headers "upgrade" with
  | [ name ] -> Grammar.equal name protocol
  | _ -> false

(* One request *)

let target b resource = if resource = "*" then resource else b.base ^ resource

(* A segment as some backends read it: without its parameters ("..;x", RFC 3986 §3.3), or up to a
   control character. *)
let is_up segment =
  String.starts_with ~prefix:".." segment
  && (String.length segment = 2
     || match segment.[2] with ';' | '\000' .. '\032' -> true | _ -> false)

(* The first bytes of overlong encodings, of a dot for example, are never UTF-8. *)
let is_overlong path = String.exists (fun c -> c = '\xc0' || c = '\xc1') path

(* Whether a backend could take [path] for one above [base]. *)
let climbs path =
  let goes_up path =
    let slashes = String.map (fun c -> if c = '\\' then '/' else c) path in
    is_overlong path || List.exists is_up (String.split_on_char '/' slashes)
  in
  match Percent.decode path with
  | None -> true
  | Some decoded -> (
      goes_up decoded
      ||
      (* Some backends decode twice. *)
      match Percent.decode decoded with None -> false | Some again -> goes_up again)

let head_text t b (request : Server.request) host body ~upgrade ~asks =
  let head = Server.head request in
  (* The program's own function may wait, and other requests of an HTTP/2 connection, which share
     its text, come meanwhile. *)
  let fields = t.fields request in
  (* Until the response its connection has no use for it. *)
  let text = request.conn.text in
  Buffer.clear text;
  List.iter (Buffer.add_string text)
    [ Cohttp.Code.string_of_method head.meth; " "; target b head.resource; " HTTP/1.1\r\n" ];
  (match host with
  | Some host -> Head.write_own text "host" host
  | None -> Head.write_field text ("host", Exchange.host_field b.origin));
  if Grammar.mem head.headers "te" "trailers" then
    List.iter
      (fun (name, value) -> Head.write_own text name value)
      [ ("te", "trailers"); ("connection", "te") ];
  if asks then Head.write_own text "expect" "100-continue";
  Proxy_fields.write_request text ~name:t.name ~scheme:t.scheme ~fields request host;
  List.iter (Head.write_field text) (Exchange.framing_fields head.meth body);
  if upgrade then
    List.iter (Head.write_field text) [ ("connection", "upgrade"); ("upgrade", protocol) ];
  Head.finish text;
  Buffer.contents text

(* A request on its way to a backend. *)
type passage = {
  request : Server.request;
  body : Exchange.body;
  waits : bool ref; (* For more of the body, from the client. *)
  asked : unit T.Promise.t option; (* For the body of a client that waits for that: with a value. *)
  tunnel : (unit -> unit) option; (* Returns what an upgrade has taken. *)
  leave : unit -> unit; (* Returns the client's place. *)
}

let exchange t b p ~on_connected ~over =
  let head = Server.head p.request in
  let upgrade = Option.is_some p.tunnel in
  let asks = Option.is_some p.asked in
  let head_text = head_text t b p.request (H.get head.headers "host") p.body ~upgrade ~asks in
  let trailers = ref (H.init ()) in
  let on_interim (interim : Head.response) =
    if interim.status = 100 then
      Option.iter (fun asked -> ignore (T.Promise.try_fulfil asked ())) p.asked
    else
      let headers = Proxy_fields.of_response ~name:t.name interim [] in
      reading (fun () ->
          Server_answer.interim p.request.conn ~version:head.version interim.status
            (H.to_list headers))
  in
  let x =
    try
      Exchange.once ~fresh:upgrade ~on_connected ~on_interim ~on_trailers:(( := ) trailers)
        (Server.scope p.request) b.client b.origin b.uri ~head:head_text head.meth p.body
    with Exchange.Failed (_, Too_slow) when !(p.waits) ->
      (* A backend can't answer what the client hasn't sent. *)
      let backtrace = Soil_backtrace.get () in
      Soil_backtrace.raise (Of_client (Server.Refused `Request_timeout, backtrace))
  in
  let respond () =
    (* The answer comes in place of a body. *)
    let is_asked asked = T.Promise.peek asked <> None in
    if not (Option.fold ~none:true ~some:is_asked p.asked) then p.request.is_wanted <- false;
    if x.head.status <> 101 then (
      Option.iter (fun leave -> leave ()) p.tunnel;
      answer t b p.request x ~trailers ~over)
    else if upgrade && Grammar.mem x.head.headers "upgrade" protocol then (
      enter_tunnel (Server.scope p.request) t b;
      over ();
      upgraded t x)
    else Soil_backtrace.raise (Exchange.Failed (b.uri, Malformed))
  in
  (* Its connection isn't needed while another backend responds. *)
  Soil.Private.undoing (fun () -> Exchange.abandon x) respond

let may_repeat (head : Cohttp.Request.t) (body : Exchange.body) ~begun =
  (not begun)
  || Exchange.is_idempotent head.meth
     && match body with Stream _ -> false | Empty | String _ -> true

(* Tries one backend after the other; [last] is the failure of the last one in [tried]. *)
let rec attempt t p tried last =
  match take t tried with
  | Busy -> unavailable p.request
  | No_backend -> (
      match last with
      | Some e -> Server.error p.request (status_of e)
      | None -> unavailable p.request)
  | At b -> (
      let begun = ref false in
      let on_connected () = begun := true in
      let leave_backend = once (fun () -> leave t b) in
      (* The backend has no more to do for it, even if the client hasn't got all yet. *)
      let over () =
        leave_backend ();
        p.leave ()
      in
      match exchange t b p ~on_connected ~over with
      | response ->
          answered b;
          T.on_release (Server.scope p.request) over;
          response
      | exception Of_client (e, backtrace) ->
          leave_backend ();
          Soil_backtrace.reraise e backtrace
      | exception e -> (
          let backtrace = Soil_backtrace.get () in
          leave_backend ();
          match reason e with
          | None -> Soil_backtrace.reraise e backtrace
          | Some text ->
              failed t b text;
              let head = Server.head p.request in
              if may_repeat head p.body ~begun:!begun && List.length tried < t.retries then
                attempt t p (b :: tried) (Some e)
              else Server.error p.request (status_of e)))

let pass_on t request body waits ~asked tunnel key =
  match Shares.take t.requests_of key ~seconds:t.wait_seconds with
  | None -> later request `Too_many_requests
  | Some leave ->
      T.on_release (Server.scope request) leave;
      attempt t { request; body; waits; asked; tunnel; leave } [] None

let handle t request =
  let head = Server.head request in
  match head.meth with
  (* A response with the request's fields would show a page what is kept from it (RFC 9110 §9.3.8). *)
  | `TRACE | `Other "TRACK" -> Server.error request `Not_implemented
  | _ -> (
      if List.exists (fun b -> b.base <> "") t.backends && climbs (Server.path request) then
        Soil_backtrace.raise (Server.Refused `Bad_request);
      let waits = ref false in
      let asked = if t.eager && request.head.expects then Some (T.Promise.create ()) else None in
      let body = body_of t request waits ~asked and key = t.client request in
      if not (wants_upgrade head body) then pass_on t request body waits ~asked None key
      else
        match take_tunnel t key with
        | Error status -> later request status
        | Ok leave ->
            T.on_release (Server.scope request) leave;
            pass_on t request body waits ~asked (Some leave) key)

(* Health checks *)

let is_healthy t b health =
  T.scope @@ fun scope ->
  let text = Buffer.create 100 in
  Buffer.add_string text ("GET " ^ target b health.path ^ " HTTP/1.1\r\n");
  Head.write text [ ("host", Exchange.host_field b.origin); ("user-agent", t.name) ];
  let head = Buffer.contents text in
  match Exchange.once scope b.client b.origin b.uri ~head `GET Empty with
  | x ->
      Exchange.finish x (fun () -> Exchange.is_at_end x.content);
      x.head.status >= 200 && x.head.status < 400
  | exception e when reason e <> None -> false

let rec watch t b health in_a_row =
  Soil.Clock.sleep health.interval;
  if b.draining then (if List.memq b t.backends then watch t b health 0)
  else
    let healthy = T.timeout_opt health.interval (fun () -> is_healthy t b health) = Some true in
    let in_a_row = if healthy = b.checked_down then in_a_row + 1 else 0 in
    let needed = if healthy then health.rise else health.fall in
    if in_a_row < needed then watch t b health in_a_row
    else (
      b.checked_down <- not healthy;
      t.on_failure b.uri (if healthy then "healthy again" else "unhealthy: " ^ health.path);
      if healthy then (
        answered b;
        T.Condition.broadcast t.changed);
      watch t b health 0)

let add t uri =
  match find t uri with
  | Some b ->
      b.draining <- false;
      T.Condition.broadcast t.drained;
      T.Condition.broadcast t.changed
  | None ->
      let client = t.connections () in
      let origin = Exchange.origin_of client uri in
      let path = Uri.path uri in
      let base =
        if String.ends_with ~suffix:"/" path then String.sub path 0 (String.length path - 1)
        else path
      in
      let b =
        {
          uri;
          client;
          origin;
          base;
          active = 0;
          tunnels = 0;
          failures = 0;
          avoided_until = 0.;
          checked_down = false;
          draining = false;
        }
      in
      t.backends <- t.backends @ [ b ];
      T.Condition.broadcast t.changed;
      t.start b

let default_client request =
  Option.map
    (fun (e : Soil.Net.Endpoint.t) -> Limit.key_of_address e.address)
    (Server.endpoint request)

let create ?limits ?(connect_seconds = 5.) ?connect ?tls ?http2 ?(max_requests = 100)
    ?max_client_requests ?(max_tunnels = 1000) ?max_client_tunnels ?(client = default_client)
    ?max_body ?(wait_seconds = 1.) ?(stall_seconds = 10.) ?(eager = false) ?(retries = 1)
    ?(max_failures = 3) ?(avoid_seconds = 10.) ?(tunnel_seconds = 600.) ?health ?(name = "soil")
    ?(scheme = "http") ?(fields = fun _ -> []) ?(on_failure = report) scope uris =
  let refuse what = invalid_arg ("Soil_http.Proxy.create: " ^ what) in
  let at_least_1 name n = if n < 1 then refuse (name ^ " is less than 1") in
  let max_client_requests = Option.value max_client_requests ~default:((max_requests + 1) / 2) in
  let max_client_tunnels = Option.value max_client_tunnels ~default:((max_tunnels + 9) / 10) in
  at_least_1 "max_requests" max_requests;
  at_least_1 "max_client_requests" max_client_requests;
  at_least_1 "max_tunnels" max_tunnels;
  at_least_1 "max_client_tunnels" max_client_tunnels;
  if not (stall_seconds > 0. && tunnel_seconds > 0.) then
    refuse "stall_seconds or tunnel_seconds isn't positive";
  if not (Grammar.is_token name && Grammar.is_token scheme) then
    refuse "name or scheme isn't a token";
  (* One more for the health checks. *)
  let max_connections = max_requests + max_tunnels + 1 in
  let connections () =
    Exchange.own scope
      (Exchange.create ?limits ~connect_seconds ~max_connections ?connect ?tls ?http2 ())
  in
  let t =
    {
      connections;
      backends = [];
      turn = 0;
      max_requests;
      max_tunnels;
      tunnels = 0;
      requests_of = Shares.create max_client_requests;
      tunnels_of = Shares.create max_client_tunnels;
      client;
      max_body;
      wait_seconds;
      stall_seconds;
      eager;
      retries;
      max_failures;
      tunnel_seconds;
      avoid_seconds;
      name;
      scheme;
      fields;
      on_failure;
      changed = T.Condition.create ();
      drained = T.Condition.create ();
      selective = 0;
      start = ignore;
    }
  in
  let start b =
    match health with
    | Some health -> ignore (T.spawn_daemon scope (fun () -> watch t b health 0))
    | None -> ()
  in
  t.start <- start;
  List.iter (add t) uris;
  t
