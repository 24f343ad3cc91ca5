(* Client and server together. *)
open Check
open App
module S = Grpc.Server
module Reader = Grpc.Reader

let words s = String.split_on_char ' ' s

let rpcs =
  [
    S.unary echo (fun _ s -> s);
    S.client_stream join (fun _ r -> String.concat "+" (all r));
    S.server_stream split (fun _ s send -> List.iter send (words s));
    S.two_way chat (fun _ r send -> Reader.iter (fun s -> List.iter send (words s)) r);
  ]

let send_all l send = List.iter send l

let kinds () =
  with_rpcs rpcs @@ fun c ->
  string "unary" "hello" (Client.unary c echo "hello");
  string "an empty message" "" (Client.unary c echo "");
  let long = String.init 3_000_000 (fun i -> Char.chr (i land 255)) in
  bool "a long one" true (Client.unary c echo long = long);
  string "a stream of requests" "a++b" (Client.client_stream c join (send_all [ "a"; ""; "b" ]));
  string "none" "" (Client.client_stream c join ignore);
  strings "a stream of responses" [ "a"; ""; "b" ] (Client.server_stream c split "a  b" all);
  let longs = List.init 20 (fun i -> String.make 100_000 (Char.chr (97 + i))) in
  bool "long ones" true (Client.server_stream c split (String.concat " " longs) all = longs);
  let talk sender r =
    let ask s =
      Client.send sender s;
      Option.get (Reader.next r)
    in
    let answers = List.map ask [ "a"; "b"; "c" ] in
    Client.finish sender;
    bool "the end" true (Reader.next r = None);
    bool "again" true (Reader.next r = None);
    answers
  in
  strings "a conversation" [ "a"; "b"; "c" ] (Client.two_way c chat talk);
  let both sender r =
    let write () =
      List.iter (Client.send sender) longs;
      Client.finish sender
    in
    snd (Soil.Task.both write (fun () -> all r))
  in
  bool "both ways at once" true (Client.two_way c chat both = longs)

let many () =
  with_rpcs rpcs @@ fun c ->
  let call i =
    match i mod 4 with
    | 0 -> Client.unary c echo (string_of_int i)
    | 1 -> Client.client_stream c join (send_all [ string_of_int i ])
    | 2 -> List.hd (Client.server_stream c split (string_of_int i) all)
    | _ ->
        Client.two_way c chat (fun sender r ->
            Client.send sender (string_of_int i);
            Client.finish sender;
            List.hd (all r))
  in
  let numbers = List.init 200 Fun.id in
  strings "each its own" (List.map string_of_int numbers) (Soil.Task.map ~max:40 call numbers)

(* What comes with the messages. *)
let metadata () =
  let seen = ref [] in
  let answer c s =
    seen := S.metadata c;
    S.add_header c "first" "1";
    S.add_header c "first-bin" "\000\255,=";
    S.add_trailer c "last" "a b";
    S.add_trailer c "last-bin" "";
    S.add_trailer c "last" "2";
    s
  in
  let rpcs =
    [
      S.unary echo answer;
      S.server_stream split (fun c s send ->
          send (answer c s);
          is_invalid "the head was sent" (fun () -> S.add_header c "late" "1"));
    ]
  in
  with_rpcs rpcs @@ fun c ->
  let sent = [ ("x", "1"); ("y-bin", "\255\254"); ("x", "~ !"); ("z-bin", "") ] in
  let check what call =
    let head = ref [] and trailers = ref [] in
    call ~metadata:sent ~on_head:(fun m -> head := m) ~on_trailers:(fun m -> trailers := m);
    bool (what ^ ": sent") true (!seen = sent);
    bool (what ^ ": head") true (!head = [ ("first", "1"); ("first-bin", "\000\255,=") ]);
    bool (what ^ ": trailers") true
      (!trailers = [ ("last", "a b"); ("last-bin", ""); ("last", "2") ])
  in
  check "unary" (fun ~metadata ~on_head ~on_trailers ->
      ignore (Client.unary c ~metadata ~on_head ~on_trailers echo "a"));
  check "a stream" (fun ~metadata ~on_head ~on_trailers ->
      ignore (Client.server_stream c ~metadata ~on_head ~on_trailers split "a" all));
  let refused name value =
    is_invalid name (fun () -> ignore (Client.unary c ~metadata:[ (name, value) ] echo ""))
  in
  List.iter
    (fun (name, value) -> refused name value)
    [
      ("", "1"); ("X", "1"); ("a b", "1"); (":path", "1"); ("grpc-status", "0"); ("te", "a");
      ("content-type", "a"); ("x", "a\r\nb: c"); ("x", " a"); ("x", "a "); ("x", "\127"); ("x", "ü");
    ]
[@@ocamlformat "disable"]

let compression () =
  let seen = ref [] in
  let note c = seen := S.was_compressed c :: !seen in
  let rpcs =
    [
      S.unary echo (fun c s ->
          note c;
          S.set_compress c (s <> "plain");
          s);
      S.two_way chat (fun c r send ->
          Reader.iter
            (fun s ->
              note c;
              S.set_compress c (s = "b");
              send s)
            r);
    ]
  in
  let seen () =
    let l = List.rev !seen in
    seen := [];
    l
  in
  let client encodings f = with_rpcs ?encodings ~server_encodings:[ runs ] rpcs f in
  client (Some [ runs ]) (fun c ->
      let text = String.make 10_000 'x' in
      string "both compressed" text (Client.unary c ~compress:true echo text);
      string "neither" "plain" (Client.unary c echo "plain");
      bool "seen" true (seen () = [ true; false ]);
      let talk sender r =
        let ask ?compress s =
          Client.send ?compress sender s;
          let answer = Option.get (Reader.next r) in
          (answer, Reader.was_compressed r)
        in
        let a = ask ~compress:false "a" in
        let b = ask "b" in
        let c = ask ~compress:false "c" in
        bool "responses" true ([ a; b; c ] = [ ("a", false); ("b", true); ("c", false) ])
      in
      Client.two_way c ~compress:true chat talk;
      bool "requests" true (seen () = [ false; true; false ]));
  client None (fun c ->
      string "a client without it" "aaa" (Client.unary c ~compress:true echo "aaa"));
  with_rpcs ~encodings:[ runs ] rpcs @@ fun c ->
  fails "a server without it" Unimplemented (fun () -> Client.unary c ~compress:true echo "a")

let deadlines () =
  Soil.Virtual_clock.run @@ fun () ->
  let ended = ref "" and left = ref None in
  let slow c s =
    left := S.time_left c;
    match Soil.Clock.sleep (float_of_string s) with
    | () -> s
    | exception e ->
        ended := "cancelled";
        raise e
  in
  let rpcs =
    [
      S.unary echo slow;
      S.server_stream split (fun c s send ->
          send "first";
          send (slow c s));
    ]
  in
  with_rpcs rpcs @@ fun c ->
  string "in time" "1" (Client.unary c ~timeout:2. echo "1");
  bool "the server's" true (!left = Some 2.);
  fails "late" Deadline_exceeded (fun () -> Client.unary c ~timeout:2. echo "3");
  Soil.Clock.sleep 0.001;
  string "the handler" "cancelled" !ended;
  ended := "";
  let got = ref [] in
  fails "a late stream" Deadline_exceeded (fun () ->
      Client.server_stream c ~timeout:2. split "3" (Reader.iter (fun s -> got := s :: !got)));
  strings "what came" [ "first" ] !got;
  Soil.Clock.sleep 0.001;
  string "its handler" "cancelled" !ended;
  let before = Soil.Clock.monotonic () in
  fails "the caller's own time" Deadline_exceeded (fun () ->
      Client.server_stream c ~timeout:2. split "0" (fun _ -> Soil.Clock.sleep 100.));
  bool "that long" true (Soil.Clock.monotonic () -. before = 2.);
  ignore (Client.unary c echo "100000");
  bool "none" true (!left = None);
  fails "none is left" Deadline_exceeded (fun () -> Client.unary c ~timeout:0. echo "0")

(* A handler's own calls have its deadline. *)
let passed_on () =
  Soil.Virtual_clock.run @@ fun () ->
  let left = ref None in
  let inner =
    [
      S.unary echo (fun c s ->
          left := S.time_left c;
          s);
    ]
  in
  with_rpcs inner @@ fun second ->
  let call timeout _ s =
    Soil.Clock.sleep 1.;
    Client.unary ?timeout second echo s
  in
  let outer = [ S.unary echo (call None); S.client_stream join (fun c _ -> call (Some 1.) c "") ] in
  with_rpcs outer @@ fun first ->
  ignore (Client.unary first ~timeout:5. echo "");
  bool "what is left" true (!left = Some 4.);
  ignore (Client.client_stream first ~timeout:5. join ignore);
  bool "a shorter one" true (!left = Some 1.);
  ignore (Client.unary first echo "");
  bool "none" true (!left = None)

(* A side that takes its time for longer than bodies of HTTP may, and one that never goes on. *)
let slow_sides () =
  Soil.Virtual_clock.run @@ fun () ->
  let message = String.make 10_000 'm' and pause = ref 0. in
  let slow r =
    let first = Option.get (Reader.next r) in
    Soil.Clock.sleep !pause;
    string_of_int (List.length (first :: all r))
  in
  let rpcs =
    [ S.client_stream join (fun _ r -> slow r); S.two_way chat (fun _ r send -> send (slow r)) ]
  in
  with_rpcs rpcs @@ fun c ->
  let many send =
    for _ = 1 to 200 do
      send message
    done
  in
  let requests () = Client.client_stream c join many in
  let both () =
    Client.two_way c chat (fun sender r ->
        many (Client.send sender);
        Client.finish sender;
        String.concat "" (all r))
  in
  pause := 25.;
  string "requests" "200" (requests ());
  string "both ways" "200" (both ());
  let rarely send =
    for _ = 1 to 5 do
      send "a";
      Soil.Clock.sleep 100.
    done
  in
  string "rare requests" "5" (Client.client_stream c join rarely);
  (* The peer takes nothing of the stream. *)
  pause := 1000.;
  fails "requests" Unavailable ~message:"the server is too slow" requests;
  fails "both ways" Unavailable ~message:"the server is too slow" both

let observed () =
  let seen = ref [] in
  let observe c (s : Status.t) _ = seen := (S.path c ^ " " ^ Status.to_string s) :: !seen in
  let rpcs =
    [
      S.unary echo (fun _ s -> if s = "" then Status.fail Not_found "nothing" else s);
      S.server_stream split (fun _ _ send ->
          send "a";
          Status.fail Aborted "");
    ]
  in
  with_rpcs ~observe rpcs @@ fun c ->
  ignore (Client.unary c echo "a");
  ignore (status (fun () -> Client.unary c echo ""));
  ignore (status (fun () -> Client.server_stream c split "" all));
  ignore (status (fun () -> Client.two_way c chat (fun _ r -> all r)));
  strings "each call"
    [
      "/test.Strings/Echo OK"; "/test.Strings/Echo NOT_FOUND: nothing";
      "/test.Strings/Split ABORTED"; "/test.Strings/Chat UNIMPLEMENTED: unknown method";
    ]
    (List.rev !seen)
[@@ocamlformat "disable"]

let tests =
  [
    in_run "all kinds of methods" kinds;
    in_run "many at once" many;
    in_run "metadata" metadata;
    in_run "compression" compression;
    in_run "deadlines" deadlines;
    in_run "deadlines are passed on" passed_on;
    in_run "slow sides" slow_sides;
    in_run "observers" observed;
  ]
