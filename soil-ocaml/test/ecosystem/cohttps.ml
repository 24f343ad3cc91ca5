(* Cohttp's functors over readers and writers: a client and a server at the ends of a flow. *)

module Request = Soil_cohttp.Request
module Response = Soil_cohttp.Response
module T = Soil.Task

let string = Alcotest.(check string)
let int = Alcotest.(check int)
let body chunks = String.concat "" (List.of_seq (Soil_cohttp.chunks chunks))

let serve flow =
  let r = Soil.Reader.create flow and w = Soil.Writer.create flow in
  let rec next n =
    match Request.read r with
    | `Eof -> n
    | `Invalid e -> Alcotest.fail e
    | `Ok request ->
        let reader = Request.make_body_reader request r in
        let text =
          match Cohttp.Request.encoding request with
          | Chunked -> body (fun () -> Request.read_body_chunk reader)
          | Fixed _ | Unknown -> ""
        in
        let path = Uri.path (Cohttp.Request.uri request) in
        let response = Cohttp.Response.make ~encoding:Chunked () in
        let write writer =
          Response.write_body writer (path ^ ":");
          Response.write_body writer (String.uppercase_ascii text)
        in
        Response.write ~flush:false write response w;
        Soil.Writer.flush w;
        next (n + 1)
  in
  let n = next 0 in
  Soil.File_descriptor.close flow;
  n

let ask w ?body path =
  let encoding = match body with Some _ -> Cohttp.Transfer.Chunked | None -> Fixed 0L in
  let meth = if body = None then `GET else `POST in
  let uri = Uri.make ~scheme:"http" ~host:"localhost" ~path () in
  let request = Cohttp.Request.make ~meth ~encoding uri in
  Request.write ~flush:false (fun writer -> Option.iter (Request.write_body writer) body) request w

let answer r =
  match Response.read r with
  | `Ok response ->
      let reader = Response.make_body_reader response r in
      body (fun () -> Response.read_body_chunk reader)
  | `Eof -> "no answer"
  | `Invalid e -> e

let talk () =
  let here, there = Soil.Flow.pair () in
  let client () =
    let r = Soil.Reader.create here and w = Soil.Writer.create here in
    ask w "/first";
    ask w ~body:(String.make 100_000 'a') "/second";
    Soil.Writer.flush w;
    string "first" "/first:" (answer r);
    let second = answer r in
    int "second" (100_000 + 8) (String.length second);
    string "its end" "AAAA" (String.sub second 100_000 4);
    Soil.File_descriptor.shutdown here `Send;
    string "the end" "no answer" (answer r)
  in
  let served, () = T.both (fun () -> serve there) client in
  int "served" 2 served

let limits () =
  let r = Soil.Reader.create (Soil.Flow.of_string ("GET /" ^ String.make 70_000 'x')) in
  (match Request.read r with
  | _ -> Alcotest.fail "a line without an end"
  | exception Soil.Error { code = Too_large; _ } -> ());
  let here, _there = Soil.Flow.pair () in
  match T.timeout_opt 0.001 (fun () -> Request.read (Soil.Reader.create here)) with
  | Some _ -> Alcotest.fail "no timeout"
  | None -> ()

let () =
  let test name f =
    Alcotest.test_case name `Quick (fun () -> Soil.run (fun () -> T.timeout 60. f))
  in
  Alcotest.run "cohttp" [ ("functors", [ test "talk" talk; test "limits" limits ]) ]
