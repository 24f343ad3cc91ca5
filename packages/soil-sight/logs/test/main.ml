module Server = Soil_http.Server
module Test = Soil_http.Test

let string what = Alcotest.(check string) what
let strings what = Alcotest.(check (list string)) what
let int what = Alcotest.(check int) what
let bool what = Alcotest.(check bool) what
let store = Logs.Src.create "store"

(* What [f] writes to standard error. *)
let captured f =
  let path = Filename.temp_file "soil" ".log" in
  let own = Unix.dup Unix.stderr and file = Unix.openfile path [ O_WRONLY; O_TRUNC ] 0 in
  Unix.dup2 file Unix.stderr;
  let restore () =
    flush stderr;
    Unix.dup2 own Unix.stderr;
    List.iter Unix.close [ own; file ]
  in
  Fun.protect ~finally:restore f;
  let text = In_channel.with_open_bin path In_channel.input_all in
  Sys.remove path;
  text

let lines text = List.filter (( <> ) "") (String.split_on_char '\n' text)

(* A line without its time, which must be its only one. *)
let without_time line =
  let n = String.length "2026-11-27T17:40:12.345678Z " in
  let rest = String.sub line n (String.length line - n) in
  (match String.sub line 0 n |> String.map (function '0' .. '9' -> '0' | c -> c) with
  | "0000-00-00T00:00:00.000000Z " -> ()
  | other -> Alcotest.failf "no time: %s" other);
  rest

(* Without the peer, the time and the size, which change from run to run. *)
let log (entry : Server.entry) =
  Soil_http_logs.access { entry with peer = "PEER"; seconds = 0.; bytes = 99 }

(* [f ask] with a server of [app]; [ask target] is the status and the body, when all is reported. *)
let served ?log app f =
  Soil.run @@ fun () ->
  let listener = Soil.Tcp.listen ~address:Soil.Net.loopback ~port:0 () in
  let ask target =
    let work flow =
      Soil.File_descriptor.write_string flow
        ("GET " ^ target ^ " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
      Soil.File_descriptor.read_all flow
    in
    let answer =
      Soil.File_descriptor.with_close (Soil.Tcp.connect (Soil.Tcp.local listener)) work
    in
    let rec body i = if String.sub answer i 4 = "\r\n\r\n" then i + 4 else body (i + 1) in
    let start = body 0 in
    (int_of_string (String.sub answer 9 3), String.sub answer start (String.length answer - start))
  in
  let clients () = f ask in
  (* [serve] reports before it ends. *)
  Soil.Task.first [ (fun () -> Server.serve ?log listener app); clients ]

let app request =
  match Server.path request with
  | "/fails" -> failwith "a mistake"
  | "/memory" -> raise Out_of_memory
  | "/stream" ->
      Server.stream (fun sink ->
          Logs.info ~src:store (fun m -> m "streams");
          Soil.File_descriptor.write_string sink "x")
  | _ ->
      Logs.warn ~src:store (fun m -> m "%d errors" 2);
      let log () = Logs.info (fun m -> m ~header:"HEAD" "of a task") in
      Soil.Task.await (Soil.Task.spawn (Server.scope request) log);
      Server.string (Server.Request.id request)

let with_level level f =
  let before = Logs.level () in
  Logs.set_level level;
  Fun.protect f ~finally:(fun () ->
      Logs.set_level before;
      Logs.set_reporter Logs.nop_reporter)

let asked ?format targets =
  let bodies = ref [] in
  let text =
    captured (fun () ->
        with_level None @@ fun () ->
        Soil_logs.setup ~level:Logs.Info ?format ();
        served ~log app (fun ask -> bodies := List.map (fun target -> snd (ask target)) targets);
        Logs.warn (fun m -> m "outside"))
  in
  (!bodies, text)

let identifiers () =
  match asked [ "/"; "/stream" ] with
  | [ id; _ ], text -> (
      match List.map without_time (lines text) with
      | [ warned; of_task; access; streamed; _; outside ] ->
          string "a source" (Printf.sprintf "warn: store: [request_id=%s] 2 errors" id) warned;
          string "a task" (Printf.sprintf "info: [request_id=%s] HEAD: of a task" id) of_task;
          string "the response"
            (Printf.sprintf
               "info: http: [request_id=%s] PEER \"GET / HTTP/1.1\" 200 99 bytes 0.0 ms" id)
            access;
          bool "a stream" true
            (String.ends_with ~suffix:"] streams" streamed
            && not (String.ends_with ~suffix:(id ^ "] streams") streamed));
          string "no request" "warn: outside" outside
      | _ -> Alcotest.failf "other lines: %s" text)
  | _ -> Alcotest.fail "no identifier"

let contains text part =
  let n = String.length part in
  let rec at i = i + n <= String.length text && (String.sub text i n = part || at (i + 1)) in
  bool (part ^ " in " ^ text) true (at 0)

let json () =
  let bodies, text = asked ~format:Soil_logs.Json.line [ "/"; "/fails" ] in
  let open Yojson.Safe in
  let objects = List.map from_string (lines text) in
  let member name o = Util.(to_string (member name o)) in
  let id = List.hd bodies in
  let keys o = String.concat " " (Util.keys o) in
  match objects with
  | [ warned; of_task; access; failed; error; outside ] ->
      string "members" "time level source request_id message" (keys warned);
      strings "values"
        [ "warn"; "store"; id; "2 errors" ]
        (List.map (fun name -> member name warned) [ "level"; "source"; "request_id"; "message" ]);
      string "without a source" "time level request_id message" (keys of_task);
      string "a header" "HEAD: of a task" (member "message" of_task);
      string "its identifier" id (member "request_id" access);
      let entry = Util.member "http" access in
      string "an entry" "peer method target protocol host status bytes body_bytes seconds"
        (keys entry);
      int "a number" 200 Util.(to_int (member "status" entry));
      string "one identifier" (member "request_id" failed) (member "request_id" error);
      let message = member "message" error in
      bool message true (String.starts_with message ~prefix:"http 127.0.0.1:");
      contains message " GET /fails: exception Failure(\"a mistake\")";
      string "no request" "time level message" (keys outside)
  | _ -> Alcotest.failf "other lines: %s" text

let log_tagged name value =
  let tag = Logs.Tag.def name Format.pp_print_string in
  Logs.err (fun m -> m ~tags:(Logs.Tag.add tag value Logs.Tag.empty) "text")

let tags () =
  let printed format =
    captured (fun () ->
        with_level None @@ fun () ->
        Soil_logs.setup ?format ();
        Logs.set_level (Some Error);
        log_tagged "time" "a\nb";
        log_tagged "request_id" "7")
  in
  strings "text"
    [ "error: [time=a\\nb] text"; "error: [request_id=7] text" ]
    (List.map without_time (lines (printed None)));
  let members =
    List.map
      (fun line -> Yojson.Safe.(Util.keys (from_string line)))
      (lines (printed (Some Soil_logs.Json.line)))
  in
  Alcotest.(check (list (list string)))
    "JSON"
    [ [ "time"; "level"; "tag_time"; "message" ]; [ "time"; "level"; "request_id"; "message" ] ]
    members

(* Status and report of [target]. *)
let report ?reporter target =
  let status = ref 0 in
  let text =
    captured (fun () ->
        with_level (Some Logs.Error) @@ fun () ->
        Option.iter (fun reporter -> Soil_logs.setup ~reporter:(reporter ()) ()) reporter;
        served app (fun ask -> status := fst (ask target)))
  in
  (!status, text)

let exhausted () =
  List.iter
    (fun reporter ->
      let status, text = report ?reporter "/memory" in
      int "answered" 503 status;
      List.iter (contains text)
        [ " GET /memory: the heap has "; " peers hold "; ": exception Out of memory"; "main.ml" ])
    [ None; Some (fun () -> Soil_logs.reporter ()) ]

(* 32 digits in brackets. *)
let unlogged () =
  let status, text = report "/fails" in
  int "answered" 500 status;
  bool text true (text.[0] = '[' && text.[33] = ']');
  contains text "] http 127.0.0.1:";
  contains text " GET /fails: exception Failure(\"a mistake\")"

(* Two refusals, and one line. *)
let refused () =
  let limit = Soil.Budget.limit () in
  let refuse () =
    match Soil.Budget.hold (limit + 1) with
    | () -> Alcotest.fail "held"
    | exception e when Soil.Budget.is_refusal e -> ()
  in
  let text =
    captured (fun () ->
        Soil.run @@ fun () ->
        let peer = Soil.Budget.create () in
        Soil.Budget.run peer (fun () ->
            refuse ();
            refuse ());
        Soil.Budget.release peer)
  in
  int text 1 (List.length (lines text));
  contains text
    (Printf.sprintf "warning: memory for peers: no room for %d bytes: peers hold 0 of %d"
       (limit + 1) limit)

let until what is =
  let rec go n =
    if not (is ()) then
      if n = 0 then Alcotest.failf "never: %s" what
      else (
        ignore (Sys.opaque_identity (ref n));
        Soil.Task.yield ();
        go (n - 1))
  in
  go 1_000_000

let by_signal () =
  with_level (Some Logs.Error) @@ fun () ->
  Logs.Src.set_level store None;
  Soil_logs.setup ();
  Soil.run @@ fun () ->
  let kill () = Unix.kill (Unix.getpid ()) Sys.sigusr2 in
  kill ();
  until "debug" (fun () -> Logs.level () = Some Debug && Logs.Src.level store = Some Debug);
  kill ();
  until "as before" (fun () -> Logs.level () = Some Error && Logs.Src.level store = None);
  (* The program's own handler stays. *)
  let seen = ref false in
  Sys.set_signal Sys.sigusr2 (Signal_handle (fun _ -> seen := true));
  Soil_logs.setup ();
  kill ();
  until "the program's" (fun () -> !seen);
  bool "unchanged" true (Logs.level () = Some Error);
  Sys.set_signal Sys.sigusr2 Signal_default

let by_requests () =
  with_level (Some Logs.Error) @@ fun () ->
  Soil.run @@ fun () ->
  Test.run Soil_http_logs.levels @@ fun t ->
  let ask meth target =
    let response = Test.request t meth target in
    (Cohttp.Code.code_of_status response.status, response.body)
  in
  let level name body =
    let line = List.find (String.starts_with ~prefix:(name ^ " ")) (lines body) in
    List.nth (String.split_on_char ' ' line) 1
  in
  let _, body = ask `PUT "/?level=warn" in
  string "all" "warning" (level "store" body);
  bool "the default" true (Logs.level () = Some Warning);
  let _, body = ask `PUT "/?level=debug&source=store" in
  strings "one" [ "debug"; "warning" ] [ level "store" body; level "http" body ];
  let _, body = ask `GET "/" in
  string "asked" "debug" (level "store" body);
  let status, body = ask `PUT "/?level=loud" in
  int "no level" 400 status;
  contains body "give quiet, app, error";
  let status, body = ask `PUT "/?level=debug&source=none" in
  int "no source" 400 status;
  contains body "none is called none";
  int "another method" 405 (fst (ask `POST "/?level=debug"));
  string "unchanged" "warning" (level "http" (snd (ask `GET "/")))

let () =
  let case name f = Alcotest.test_case name `Quick f in
  Alcotest.run "logs"
    [
      ( "lines",
        [
          case "each line below a request has its identifier" identifiers;
          case "JSON" json;
          case "tags" tags;
        ] );
      ( "reports",
        [
          case "an exhausted memory has its sizes" exhausted;
          case "a refusal of the budget is a warning, once" refused;
          case "without a reporter the report has the identifier" unlogged;
        ] );
      ( "levels",
        [ case "a signal shows all messages" by_signal; case "requests set them" by_requests ] );
    ]
