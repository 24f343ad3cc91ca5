(* A service whose messages are strings, and its client. *)
open Check
module Grpc = Soil_grpc
module Status = Grpc.Status
module Client = Grpc.Client
module Method = Grpc.Method
module Http_client = Soil_http.Client

let service = "test.Strings"
let bytes = Grpc.Codec.bytes
let echo = Method.unary ~service "Echo" bytes bytes
let join = Method.client_stream ~service "Join" bytes bytes
let split = Method.server_stream ~service "Split" bytes bytes
let chat = Method.two_way ~service "Chat" bytes bytes

(* Run lengths: a byte each for a length and a character. *)
let runs =
  let compress s =
    let b = Buffer.create 16 in
    let n = String.length s in
    let rec run i len =
      if i + len < n && len < 255 && s.[i + len] = s.[i] then run i (len + 1) else len
    in
    let rec go i =
      if i < n then (
        let len = run i 1 in
        Buffer.add_uint8 b len;
        Buffer.add_char b s.[i];
        go (i + len))
    in
    go 0;
    Buffer.contents b
  in
  let decompress ~max s =
    let b = Buffer.create 16 in
    let rec go i =
      if i = String.length s then Ok (Buffer.contents b)
      else if i + 1 = String.length s then Error `Malformed
      else
        let len = Char.code s.[i] in
        if Buffer.length b + len > max then Error `Too_large
        else (
          Buffer.add_string b (String.make len s.[i + 1]);
          go (i + 2))
    in
    go 0
  in
  Grpc.Encoding.v "runs" ~compress ~decompress

(* The version of the tests that run. *)
let is_http2 = ref true

(* [f client], over pipes. *)
let with_handler ?max_message ?encodings ?retry handler f =
  Soil.Task.scope @@ fun scope ->
  let connect ~host:_ ~port:_ =
    let client, server = Soil.Flow.pair () in
    let run () =
      Fun.protect
        ~finally:(fun () -> D.close server)
        (fun () ->
          try
            let http2 = if !is_http2 then Some (Soil_http.Http2.server ()) else None in
            Server.connection ?http2 server handler
          with Soil.Error { code = Broken_pipe | Closed; _ } -> ())
    in
    ignore (Soil.Task.spawn_daemon scope run);
    client
  in
  let http2 = if !is_http2 then Some (Soil_http.Http2.client ()) else None in
  let http = Http_client.create ?http2 ~max_redirects:0 ~max_connections:50 ~connect () in
  let client = Client.create ?max_message ?encodings ?retry http (Uri.of_string "http://a/") in
  Fun.protect ~finally:(fun () -> Http_client.close http) (fun () -> f client)

let with_rpcs ?max_message ?encodings ?retry ?server_encodings ?server_max ?observe ?on_exception
    rpcs f =
  with_handler ?max_message ?encodings ?retry
    (Grpc.Server.handler ?encodings:server_encodings ?max_message:server_max ?observe ?on_exception
       rpcs)
    f

let status f = match f () with _ -> Status.ok | exception Status.Failed s -> s

(* [f ()] fails with this status. *)
let fails what code ?message f =
  let s = status f in
  string what (Status.name code) (Status.name s.Status.code);
  Option.iter (fun m -> string (what ^ ": message") m s.message) message

let all r = List.rev (Grpc.Reader.fold (fun l v -> v :: l) [] r)
