(* strangers: what strangers can make a program hold by compression, calls, HTTP/2 and a proxy: HTTP
   and gRPC at port 8000, a proxy with backends of HTTP/2 at 8001. GET /x is the honest client's.
   GET /memory collects all garbage, and tells what is held, as tests/programs/http/held.ml does. *)
module Server = Soil_http.Server
module Http2 = Soil_http.Http2
module Grpc = Soil_grpc
module D = Soil.File_descriptor

let gzip =
  Grpc.Encoding.v "gzip" ~compress:Soil_http_gzip.compress ~decompress:Soil_http_gzip.decompress

let service = "test.Strangers"
let bytes = Grpc.Codec.bytes
let text s = String.make (int_of_string s) 'x'
let length r = Grpc.Reader.fold (fun n s -> n + String.length s) 0 r

let rpcs =
  let open Grpc.Method in
  [
    Grpc.Server.unary (unary ~service "Size" bytes bytes) (fun _ s ->
        string_of_int (String.length s));
    Grpc.Server.client_stream (client_stream ~service "Sizes" bytes bytes) (fun _ r ->
        string_of_int (length r));
    Grpc.Server.unary (unary ~service "Text" bytes bytes) (fun _ s -> text s);
    Grpc.Server.client_stream (client_stream ~service "Last" bytes bytes) (fun _ r ->
        text (Grpc.Reader.fold (fun _ s -> s) "0" r));
    Grpc.Server.server_stream (server_stream ~service "Texts" bytes bytes) (fun _ s send ->
        for _ = 1 to 100 do
          send (text s)
        done);
    Grpc.Server.two_way (two_way ~service "Echo" bytes bytes) (fun _ r send ->
        Grpc.Reader.iter (fun s -> send (text s)) r);
  ]

let memory () =
  Gc.compact ();
  let network = Soil.Net.statistics () and machine = Soil.Machine.memory () in
  let count name = Option.value (List.assoc_opt name network) ~default:0 in
  [
    (Soil.Budget.statistics ()).held;
    count "tcp.memory";
    count "tcp.connections" - count "tcp.time-wait";
    Sys.word_size / 8 * (Gc.quick_stat ()).heap_words;
    machine.total - machine.free;
  ]

let headers = Cohttp.Header.init_with "content-type" "text/plain"

let answer request =
  match Server.path request with
  | "/memory" -> Server.string (String.concat " " (List.map string_of_int (memory ())) ^ "\n")
  | "/up" -> Server.string (string_of_int (String.length (Server.body_string request)) ^ "\n")
  (* Not all the same, so that a compressor has work. *)
  | "/page" ->
      let letter i = Char.unsafe_chr (97 + (((i * 7919) lsr 3) land 15)) in
      Server.string ~headers (String.init 1_000_000 letter)
  | _ -> Server.string "here\n"

let block = Bytes.make 65536 'x'

let endless _ =
  Server.stream (fun sink ->
      while true do
        D.write sink block 0 (Bytes.length block)
      done)

let serve_proxy on_error =
  Soil.Task.scope @@ fun scope ->
  let connect ~host:_ ~port:_ =
    let ours, theirs = Soil.Flow.pair () in
    let serve () =
      D.with_close theirs (fun d ->
          try Server.connection ~http2:(Http2.server ()) d endless with Soil.Error _ -> ())
    in
    ignore (Soil.Task.spawn_daemon scope serve);
    ours
  in
  let proxy =
    Soil_http.Proxy.create ~http2:(Http2.client ()) ~connect ~max_requests:2000
      ~max_client_requests:2000 scope
      [ Uri.of_string "http://backend" ]
  in
  let listener = Soil.Tcp.listen ~port:8001 () in
  Server.serve ~on_error ~http2:(Http2.server ()) listener (Soil_http.Proxy.handle proxy)

let () =
  Soil.run @@ fun () ->
  let on_error _ _ = () in
  let others = Soil_http.Encoding.handler [ Soil_http_gzip.coding () ] answer in
  let app = Grpc.Server.handler ~encodings:[ gzip ] ~on_exception:(fun _ _ _ -> ()) ~others rpcs in
  let listener = Soil.Tcp.listen ~port:8000 () in
  Soil.Task.scope @@ fun scope ->
  ignore (Soil.Task.spawn_daemon scope (fun () -> serve_proxy on_error));
  print_endline "ready";
  Server.serve ~on_error ~http2:(Http2.server ()) listener app
