(* Helpers of all tests. *)

module D = Soil.File_descriptor
module Server = Soil_http.Server

let test name f = Alcotest.test_case name `Quick f
let patience = 120.

(* What a virtual clock or Kv says in another domain. *)
let is_of_first = String.ends_with ~suffix:"the program's first one, which this belongs to"

(* The last of as many domains as SOIL_TEST_DOMAINS says runs it; without that, and where the test
   needs the first domain, [Soil.run] does. *)
let run f =
  match Sys.getenv_opt "SOIL_TEST_DOMAINS" with
  | None -> Soil.run f
  | Some n -> (
      let domains = int_of_string n in
      let in_last () =
        Soil.Task.scope @@ fun s -> Soil.Task.await (Soil.Domain.spawn ~domain:(domains - 1) s f)
      in
      try Soil.Domain.run ~domains in_last
      with Invalid_argument what when is_of_first what -> Soil.run f)

let in_run name f = test name (fun () -> run (fun () -> Soil.Task.timeout patience f))

(* Waiting takes no time, and a stall of the machine passes none. *)
let in_virtual_time name f = in_run name (fun () -> Soil.Virtual_clock.run f)

let property ?(count = 200) name generator law =
  let cell = QCheck2.Test.make ~count ~name generator law in
  test name (fun () -> QCheck2.Test.check_exn cell)

let bool = Alcotest.(check bool)
let int = Alcotest.(check int)
let string = Alcotest.(check string)
let strings = Alcotest.(check (list string))

(* All that a server answers to [pieces], each of which it may read alone, up to the end of the
   connection. The client ends its side when it has sent them, and hasn't left. *)
let answers ?limits ?log ?error ?(on_disconnect = `Finish) ?(shut = true) handler pieces =
  let client, server = Soil.Flow.pair () in
  let serve () =
    Fun.protect
      ~finally:(fun () -> D.close server)
      (fun () -> Server.connection ?limits ?log ?error ~on_disconnect server handler)
  in
  let send () =
    (try
       List.iter
         (fun piece ->
           D.write_string client piece;
           Soil.Task.yield ())
         pieces
     with Soil.Error { code = Broken_pipe | Closed; _ } -> ());
    if shut && D.is_open client then D.shutdown client `Send
  in
  let receive () =
    let text = D.read_all client in
    D.close client;
    text
  in
  let (), ((), text) = Soil.Task.both serve (fun () -> Soil.Task.both send receive) in
  text

(* A response without its date, lines by [|]. *)
let plain text =
  let lines = String.split_on_char '\n' text in
  let trim line =
    if String.ends_with ~suffix:"\r" line then String.sub line 0 (String.length line - 1) else line
  in
  String.concat "|"
    (List.filter (fun l -> not (String.starts_with ~prefix:"date:" l)) (List.map trim lines))

(* With [n] bytes for what peers make the program hold. *)
let with_budget n f =
  let before = Soil.Budget.limit () in
  Soil.Budget.set_limit n;
  Fun.protect ~finally:(fun () -> Soil.Budget.set_limit before) f

let status text = if String.length text < 12 then "none" else String.sub text 9 3
let get ?(fields = "") target = "GET " ^ target ^ " HTTP/1.1\r\nHost: a\r\n" ^ fields ^ "\r\n"

(* What came, for a look at it: method, resource, fields and body. *)
let echo request =
  let head = Server.head request in
  let body = Server.body_string request in
  let fields =
    List.map (fun (n, v) -> n ^ "=" ^ v) (Cohttp.Header.to_list (Cohttp.Request.headers head))
  in
  Server.string
    (String.concat " "
       ([ Cohttp.Code.string_of_method head.meth; head.resource ] @ fields @ [ "[" ^ body ^ "]" ]))

let property_in_run ?count name generator law =
  property ?count name generator (fun x ->
      run (fun () -> Soil.Task.timeout patience (fun () -> law x)))

let is_invalid what f =
  match f () with
  | () -> Alcotest.fail (what ^ ": not refused")
  | exception Invalid_argument _ -> ()

let fails_with_closed f =
  match f () with
  | () -> Alcotest.fail "not closed"
  | exception Soil.Error { code = Closed; _ } -> ()
