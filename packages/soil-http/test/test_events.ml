(* Server-sent events, to clients and from servers. *)
open Check
module E = Soil_http.Events
module T = Soil.Task

let text ?event ?id ?retry data = (E.message ?event ?id ?retry data :> string)

let encoding () =
  string "data" "data: hello\n\n" (text "hello");
  string "nothing" "data: \n\n" (text "");
  string "lines" "data: a\ndata:  b\ndata: \ndata: c\ndata: \n\n" (text "a\n b\r\rc\r\n");
  string "all fields" "event: price\nid: 7\nretry: 2500\ndata: 1\n\n"
    (text ~event:"price" ~id:"7" ~retry:2.5 "1");
  string "a comment" ": a\n: b\n\n" (E.comment "a\nb" :> string);
  let refuses what f = is_invalid what (fun () -> ignore (f ())) in
  refuses "a line break in a type" (fun () -> text ~event:"a\ndata: x" "");
  refuses "a CR in a type" (fun () -> text ~event:"a\r" "");
  refuses "a line break in an id" (fun () -> text ~id:"1\n\ndata: x" "");
  refuses "a CR in an id" (fun () -> text ~id:"1\r" "");
  refuses "a NUL in an id" (fun () -> text ~id:"1\000" "");
  refuses "not UTF-8" (fun () -> text "\xff");
  refuses "a comment that isn't UTF-8" (fun () -> E.comment "\xff");
  refuses "a negative time" (fun () -> text ~retry:(-1.) "");
  refuses "no time" (fun () -> text ~retry:nan "")

let show { E.event; data; id } = Printf.sprintf "%s %S %s" event data id

let rec all r =
  match E.next r with
  | Some e ->
      let e = show e in
      e :: all r
  | None -> []

let read input = all (E.reader (Soil.Flow.of_string input))

(* The examples of the HTML standard, and its rules. *)
let reading () =
  strings "lines of data" [ {|message "YHOO\n+2\n10" |} ]
    (read "data: YHOO\ndata: +2\ndata: 10\n\n");
  strings "ids and comments"
    [ {|message "first event" 1|}; {|message "second event" |}; {|message " third event" |} ]
    (read
       ": test stream\n\n\
        data: first event\n\
        id: 1\n\n\
        data:second event\n\
        id\n\n\
        data:  third event\n\n");
  strings "empty data" [ {|message "" |}; {|message "\n" |} ] (read "data\n\ndata\ndata\n\ndata:");
  strings "one space"
    [ {|message "test" |}; {|message "test" |} ]
    (read "data:test\n\ndata: test\n\n");
  strings "each end of a line"
    [ {|message "a\nb\nc" |}; {|message "d" |} ]
    (read "data:a\r\ndata:b\rdata:c\n\r\ndata:d\r\r");
  strings "a type is of one event"
    [ {|add "1" |}; {|message "2" |} ]
    (read "event: add\ndata: 1\n\ndata: 2\n\n");
  strings "without data there is no event" [ {|message "x" 5|} ]
    (read "event: a\nid: 5\n\ndata: x\n\n");
  strings "a mark at the beginning only" [ {|message "x" |} ]
    (read "\xef\xbb\xbfdata: x\n\n\xef\xbb\xbfdata: y\n\n");
  strings "an id with a NUL" [ {|message "x" 1|} ] (read "id: 1\nid: 2\000\ndata: x\n\n");
  strings "unknown fields, names with case" [ {|message "x" |} ]
    (read "Data: y\nfoo: z\n data: a\ndata: x\n\n");
  strings "incomplete" [] (read "data: x\n");
  let r = E.reader (Soil.Flow.of_string "retry: 1500\nretry: 1x\nid: 9\n\nid: 10\n") in
  strings "no event" [] (all r);
  bool "retry" true (E.retry r = Some 1.5);
  string "the last complete one" "9" (E.last_id r)

let limits () =
  let fails input =
    match all (E.reader ~max:100 (Soil.Flow.of_string input)) with
    | _ -> Alcotest.fail "no limit"
    | exception Soil.Error { code = Too_large; _ } -> ()
  in
  fails (String.make 101 'x');
  fails ("data: " ^ String.make 60 'x' ^ "\ndata: " ^ String.make 60 'x' ^ "\n\n");
  let event = "data: " ^ String.make 40 'x' ^ "\n\n" in
  let many = String.concat "" (List.init 10 (fun _ -> event)) in
  int "each below it" 10 (List.length (all (E.reader ~max:100 (Soil.Flow.of_string many))))

(* An event comes as soon as its last byte, and a cancelled call loses nothing. *)
let at_once () =
  let client, server = Soil.Flow.pair () in
  let r = E.reader client in
  D.write_string server "data: a\r\rda";
  string "after CR" {|message "a" |} (show (Option.get (E.next r)));
  bool "cancelled" true (T.timeout_opt 0.01 (fun () -> E.next r) = None);
  D.write_string server "ta: b\r";
  bool "cancelled" true (T.timeout_opt 0.01 (fun () -> E.next r) = None);
  D.write_string server "\n\r\n";
  string "the rest" {|message "b" |} (show (Option.get (E.next r)))

let normal s =
  let b = Buffer.create 16 in
  let rec go i =
    if i < String.length s then
      if s.[i] = '\r' then (
        Buffer.add_char b '\n';
        go (if i + 1 < String.length s && s.[i + 1] = '\n' then i + 2 else i + 1))
      else (
        Buffer.add_char b s.[i];
        go (i + 1))
  in
  go 0;
  Buffer.contents b

let gen_events =
  let open QCheck2.Gen in
  let character =
    oneofl [ "a"; ":"; " "; "\n"; "\r"; "\r\n"; "data: "; "\xc3\xa9"; "\xef\xbb\xbf"; "\000" ]
  in
  let data = map (String.concat "") (list_size (int_range 0 12) character) in
  let name =
    map (String.concat "") (list_size (int_range 1 4) (oneofl [ "a"; ":"; " "; "\xc3\xa9" ]))
  in
  let event = triple data (opt name) (opt name) in
  pair (list_size (int_range 0 6) event) (list_size (int_range 1 5) (int_range 1 7))

(* The same again, whatever pieces it comes in. *)
let both_ways (events, pieces) =
  let encode (data, event, id) = text ?event ?id data in
  let input = String.concat (E.comment "-\r-" :> string) (List.map encode events) in
  let pieces = Array.of_list pieces and at = ref 0 and turn = ref 0 in
  let read b off len =
    let n = min (min len pieces.(!turn mod Array.length pieces)) (String.length input - !at) in
    Bytes.blit_string input !at b off n;
    at := !at + n;
    incr turn;
    n
  in
  let last = ref "" in
  let wanted (data, event, id) =
    Option.iter (fun id -> last := id) id;
    show { event = Option.value event ~default:"message"; data = normal data; id = !last }
  in
  all (E.reader (Soil.Flow.source read)) = List.map wanted events

let responses () =
  let handler request =
    match (Server.path request, E.last_event_id request) with
    | "/", None ->
        E.stream (fun client ->
            E.send client (E.message ~id:"1" "a");
            E.send client (E.comment "b"))
    | "/", Some id -> E.stream ~status:`OK (fun client -> E.send client (E.message ("after " ^ id)))
    | _ -> Server.status `No_content
  in
  let fields = "HTTP/1.1 200 OK|content-type: text/event-stream|cache-control: no-store|" in
  string "a stream"
    (fields ^ "transfer-encoding: chunked||f|id: 1|data: a|||5|: b|||0||")
    (plain (answers handler [ get "/" ]));
  string "again"
    (fields ^ "transfer-encoding: chunked||10|data: after 41|||0||")
    (plain (answers handler [ get "/" ~fields:"Last-Event-ID: 41\r\n" ]));
  string "its head" (fields ^ "|")
    (plain (answers handler [ "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" ])
    |> String.split_on_char '|'
    |> List.filter (fun l -> l <> "connection: close" && l <> "transfer-encoding: chunked")
    |> String.concat "|");
  is_invalid "never" (fun () -> ignore (E.stream ~keep_alive:0. ignore))

(* Four messages, the first two of which a client misses. *)
let follows () =
  let data ?missed () =
    let b = Soil.Broadcast.create 4 in
    List.iter (fun n -> Soil.Broadcast.publish b (E.message n)) [ "1"; "2"; "3"; "4" ];
    let handler _ = E.follow ?missed ~max_lag:2 ~replay:4 b in
    let rec close () =
      if Soil.Broadcast.subscribers b = 0 then (
        T.yield ();
        close ())
      else Soil.Broadcast.close b
    in
    let (), text = T.both close (fun () -> answers handler [ get "/" ]) in
    bool "the type" true
      (List.mem "content-type: text/event-stream" (String.split_on_char '|' (plain text)));
    int "no subscription stays" 0 (Soil.Broadcast.subscribers b);
    List.filter (String.starts_with ~prefix:"data: ") (String.split_on_char '|' (plain text))
  in
  strings "without a word" [ "data: 3"; "data: 4" ] (data ());
  let missed t n = E.send t (E.message (Printf.sprintf "missed %d" n)) in
  strings "with a message" [ "data: missed 2"; "data: 3"; "data: 4" ] (data ~missed ())

(* The handler waits for something else: comments notice that the client has gone. *)
let client_goes () =
  let client, server = Soil.Flow.pair () in
  let ended = ref "" in
  let wait _ =
    try Soil.Clock.sleep infinity
    with e ->
      ended := Printexc.to_string e;
      raise e
  in
  let serve () = Server.connection server (fun _ -> E.stream ~keep_alive:0.01 wait) in
  let read () =
    D.write_string client (get "/");
    let lines = Soil.Reader.create client in
    let rec comments n =
      if n > 0 then comments (if Soil.Reader.line lines = ":" then n - 1 else n)
    in
    comments 3;
    D.close client
  in
  let (), () = T.both serve read in
  string "cancelled" (Printexc.to_string T.Cancelled) !ended

(* The end of the function comes while a comment waits for a client that doesn't read. *)
let ends_beside_comment () =
  let client, server = Soil.Flow.pair ~capacity:256 () in
  let serve () =
    Fun.protect ~finally:(fun () -> D.close server) @@ fun () ->
    Server.connection server (fun _ -> E.stream ~keep_alive:0.001 (fun _ -> Soil.Clock.sleep 0.3))
  in
  let read () =
    D.write_string client (get "/" ~fields:"connection: close\r\n");
    Soil.Clock.sleep 0.6;
    let text = D.read_all client in
    bool "a whole response" true (String.ends_with ~suffix:"\r\n0\r\n\r\n" text)
  in
  ignore (T.both serve read)

let tests =
  [
    test "messages as text" encoding;
    in_run "events of a stream" reading;
    in_run "events have a limit" limits;
    in_run "events come at once" at_once;
    property_in_run ~count:500 "events there and back" gen_events both_ways;
    in_run "responses" responses;
    in_run "messages of a broadcast" follows;
    in_run "a client goes away" client_goes;
    in_run "the end beside a comment" ends_beside_comment;
  ]
