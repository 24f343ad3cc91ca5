(* Calls that are repeated. *)
open Check
open App
module S = Grpc.Server
module Metadata = Grpc.Metadata

let retry = { Client.default_retry with attempts = 4 }

(* A server whose answers are the statuses in a list, then OK. Notes the attempts' field and the
   seconds since the call before. *)
let with_failures ?(retry = Some retry) ?pushback answers f =
  Soil.Virtual_clock.run @@ fun () ->
  let left = ref answers and seen = ref [] and last = ref (Soil.Clock.monotonic ()) in
  let answer c =
    let now = Soil.Clock.monotonic () in
    let field name = Server.header (S.request c) name in
    seen := (Option.value (field "grpc-previous-rpc-attempts") ~default:"-", now -. !last) :: !seen;
    last := now;
    match !left with
    | [] -> ()
    | s :: rest ->
        left := rest;
        raise (Status.Failed s)
  in
  let rpcs =
    [
      S.unary echo (fun c s ->
          answer c;
          s);
      S.server_stream split (fun c s send ->
          if s = "begun" then send s;
          answer c;
          send s);
      S.client_stream join (fun c r ->
          answer c;
          String.concat "" (all r));
    ]
  in
  (* Reserved for applications, but not for a server of a test. *)
  let pushed handler request =
    let response = handler request in
    match pushback with
    | Some v -> Server.Response.add_header "grpc-retry-pushback-ms" v response
    | None -> response
  in
  with_handler ?retry (pushed (S.handler rpcs)) @@ fun c ->
  f c (fun () ->
      let l = List.rev !seen in
      seen := [];
      l)

let busy = Status.v Unavailable "busy"
let attempts seen = List.map fst (seen ())

let repeats () =
  with_failures [ busy; busy ] (fun c seen ->
      string "after two failures" "a" (Client.unary c echo "a");
      let l = seen () in
      strings "attempts" [ "-"; "1"; "2" ] (List.map fst l);
      (* A sum of times isn't exact. *)
      let between a b (_, s) = s >= a -. 1e-6 && s <= b +. 1e-6 in
      bool "first wait" true (between 0.08 0.12 (List.nth l 1));
      bool "second wait" true (between 0.16 0.24 (List.nth l 2)));
  with_failures [ busy; busy ] (fun c seen ->
      strings "a stream" [ "a" ] (Client.server_stream c split "a" all);
      strings "attempts" [ "-"; "1"; "2" ] (attempts seen))

let gives_up () =
  with_failures [ busy; busy; busy; busy; busy ] (fun c seen ->
      fails "four failures" Unavailable ~message:"busy" (fun () -> Client.unary c echo "a");
      strings "attempts" [ "-"; "1"; "2"; "3" ] (attempts seen));
  with_failures
    [ Status.v Aborted "" ]
    (fun c seen ->
      fails "another code" Aborted (fun () -> Client.unary c echo "a");
      strings "attempts" [ "-" ] (attempts seen));
  with_failures ~retry:None [ busy ] (fun c _ ->
      fails "no policy" Unavailable (fun () -> Client.unary c echo "a"));
  with_failures [ busy ] (fun c seen ->
      fails "it has begun" Unavailable (fun () -> Client.server_stream c split "begun" all);
      strings "attempts" [ "-" ] (attempts seen));
  with_failures [ busy ] (fun c seen ->
      fails "requests that aren't kept" Unavailable (fun () -> Client.client_stream c join ignore);
      strings "attempts" [ "-" ] (attempts seen));
  with_failures [ busy; busy; busy ] (fun c seen ->
      fails "the deadline" Deadline_exceeded (fun () -> Client.unary c ~timeout:0.15 echo "a");
      strings "attempts" [ "-"; "1" ] (attempts seen))

let pushback () =
  with_failures ~pushback:"7000" [ busy ] (fun c seen ->
      ignore (Client.unary c echo "a");
      bool "the server's time" true (Float.abs (snd (List.nth (seen ()) 1) -. 7.) < 0.001));
  List.iter
    (fun pushback ->
      with_failures ~pushback [ busy ] (fun c seen ->
          fails "not again" Unavailable (fun () -> Client.unary c echo "a");
          int pushback 1 (List.length (seen ()))))
    [ "-1"; "x" ]

(* A server that fails often gets no repetitions. *)
let throttled () =
  with_failures
    (List.init 100 (fun _ -> busy))
    (fun c seen ->
      let call () = ignore (status (fun () -> Client.unary c echo "a")) in
      let count () =
        call ();
        List.length (seen ())
      in
      Alcotest.(check (list int))
        "attempts" [ 4; 1; 1; 1 ]
        (List.map (fun _ -> count ()) [ 1; 2; 3; 4 ]))

let tests =
  [
    in_run "calls are repeated" repeats;
    in_run "not always" gives_up;
    in_run "the server says when" pushback;
    in_run "not while all fail" throttled;
  ]
