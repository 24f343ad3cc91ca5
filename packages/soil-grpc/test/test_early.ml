(* Servers that answer before the requests of a call have come: the call ends with that answer. *)
open Check
open App
module S = Grpc.Server
module Reader = Grpc.Reader
module R = Soil.Reader

let message = String.make 10_000 'm'

(* Many more than the windows hold. *)
let send_many send =
  for _ = 1 to 200 do
    send message
  done

let rec send_for_ever send =
  send message;
  send_for_ever send

(* The calls of which the server reads the first message, or nothing; [with_client f] is [f client]. *)
let calls with_client what answer =
  let is what f =
    let begun = Soil.Clock.monotonic () in
    let got =
      match with_client f with
      | answers -> answers
      | exception Status.Failed s -> [ Status.to_string s ]
    in
    strings what [ answer ] got;
    if !is_http2 then
      (* Of virtual time, in which a poll takes a nanosecond. *)
      Alcotest.(check (float 1e-6)) (what ^ ": seconds") 0. (Soil.Clock.monotonic () -. begun)
  in
  let is name f = is (what ^ ": " ^ name) f in
  is "unary" (fun c -> [ Client.unary c echo message ]);
  is "a long unary" (fun c -> [ Client.unary c echo (String.make 1_000_000 'u') ]);
  is "requests" (fun c -> [ Client.client_stream c join send_many ]);
  is "a long request for responses" (fun c ->
      Client.server_stream c split (String.make 1_000_000 's') all);
  is "both ways" (fun c ->
      Client.two_way c chat (fun sender r ->
          send_many (Client.send sender);
          Client.finish sender;
          all r));
  is "both ways at once" (fun c ->
      Client.two_way c chat (fun sender r ->
          let answers = ref [] in
          let read () = answers := all r in
          Soil.Task.first [ read; (fun () -> send_for_ever (Client.send sender)) ];
          !answers))

let of_this_library () =
  let answer fail first =
    ignore (first ());
    if fail then Status.fail Aborted "early" else "early"
  in
  let rpcs fail =
    [
      S.unary echo (fun _ _ -> answer fail ignore);
      S.client_stream join (fun _ r -> answer fail (fun () -> Reader.next r));
      S.server_stream split (fun _ _ send -> send (answer fail ignore));
      S.two_way chat (fun _ r send -> send (answer fail (fun () -> Reader.next r)));
    ]
  in
  with_rpcs (rpcs false) (fun c -> calls (fun f -> f c) "answers" "early");
  with_rpcs (rpcs true) (fun c -> calls (fun f -> f c) "failures" "ABORTED: early")

(* Frames by hand *)

let frame ?(flags = 0) ?(stream = 0) kind payload =
  let b = Buffer.create 32 in
  Buffer.add_int32_be b (Int32.of_int ((String.length payload lsl 8) lor kind));
  Buffer.add_uint8 b flags;
  Buffer.add_int32_be b (Int32.of_int stream);
  Buffer.add_string b payload;
  Buffer.contents b

let response ~stream ~code ~resets =
  let status = "\x00\x0bgrpc-status" ^ if code = 0 then "\x010" else "\x0210" in
  frame 1 ~flags:4 ~stream "\x88\x0f\x10\x10application/grpc"
  ^ (if code = 0 then frame 0 ~stream "\000\000\000\000\005early" else "")
  ^ frame 1 ~flags:5 ~stream status
  ^ if resets then frame 3 ~stream "\000\000\000\000" else ""

(* It answers each call after so many bytes of it, and opens no window. *)
let serve ~after ~code ~resets d =
  D.write_string d (frame 4 "\000\004\000\000\xff\xff");
  let r = R.create d in
  ignore (R.take r (String.length "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
  let rec go answered got =
    let head = R.take r 9 in
    let kind = String.get_uint8 head 3 and stream = Int32.to_int (String.get_int32_be head 5) in
    let length = Int32.to_int (String.get_int32_be head 0) lsr 8 in
    ignore (R.take r length);
    let got = if kind = 1 then 0 else if kind = 0 then got + length else got in
    if (kind = 0 || kind = 1) && stream > answered && got >= after then (
      D.write_string d (response ~stream ~code ~resets);
      go stream got)
    else go answered got
  in
  try go 0 0 with End_of_file | Soil.Error _ -> ()

let of_another () =
  let one (after, code, resets) =
    Soil.Task.scope @@ fun scope ->
    let connect ~host:_ ~port:_ =
      let ours, theirs = Soil.Flow.pair () in
      let run () = D.with_close theirs (fun d -> serve ~after ~code ~resets d) in
      ignore (Soil.Task.spawn_daemon scope run);
      ours
    in
    (* The window of a connection doesn't open either: each call has one of its own. *)
    let with_client f =
      let http2 = Soil_http.Http2.client () in
      let http = Http_client.create ~http2 ~max_redirects:0 ~connect () in
      Fun.protect
        ~finally:(fun () -> Http_client.close http)
        (fun () -> f (Client.create http (Uri.of_string "http://a/")))
    in
    let what = Printf.sprintf "after %d bytes%s" after (if resets then ", with a reset" else "") in
    is_http2 := true;
    calls with_client what (if code = 0 then "early" else "ABORTED")
  in
  List.iter one
    [ (0, 0, false); (0, 0, true); (9_000, 0, false); (9_000, 0, true); (0, 10, false); (9_000, 10, true) ]
[@@ocamlformat "disable"]

let virtual_time name f = in_run name (fun () -> Soil.Virtual_clock.run f)
let tests = [ virtual_time "servers of this library" of_this_library ]
let frames = [ virtual_time "servers without windows" of_another ]
