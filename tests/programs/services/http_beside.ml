(* The server of http_server.ml beside tasks of Soil, which compute its answers. *)

open Lwt.Syntax
open Cohttp_lwt_unix

let capitals text =
  let half off len () =
    Soil.Task.yield ();
    String.uppercase_ascii (String.sub text off len)
  in
  let middle = String.length text / 2 in
  let first, second = Soil.Task.both (half 0 middle) (half middle (String.length text - middle)) in
  first ^ second

(* A stream of Lwt that a task fills. *)
let pieces () =
  let stream, push = Lwt_stream.create () in
  let fill () =
    List.iter
      (fun piece ->
        Soil.Clock.sleep 0.001;
        Soil_lwt.run_promise (fun () -> Lwt.return (push (Some piece))))
      [ "one "; "piece "; "after another\n" ];
    Soil_lwt.run_promise (fun () -> Lwt.return (push None))
  in
  Lwt.async (fun () -> Soil_lwt.task fill);
  Cohttp_lwt.Body.of_stream stream

let callback _connection request body =
  match Uri.path (Request.uri request) with
  | "/capitals" ->
      let* text = Cohttp_lwt.Body.to_string body in
      let* body = Soil_lwt.task (fun () -> capitals text) in
      Server.respond_string ~status:`OK ~body ()
  | "/pieces" ->
      Server.respond
        ~headers:(Cohttp.Header.init_with "transfer-encoding" "chunked")
        ~status:`OK ~body:(pieces ()) ()
  | path -> Server.respond_string ~status:`Not_found ~body:("no " ^ path ^ "\n") ()

let () =
  let port = int_of_string Sys.argv.(1) in
  Soil_lwt.run @@ fun () ->
  Soil.Task.scope @@ fun scope ->
  let turns = ref 0 in
  let count () =
    while true do
      incr turns;
      Soil.Clock.sleep 0.001
    done
  in
  ignore (Soil.Task.spawn_daemon scope count);
  let serve () =
    let serving = Server.create ~mode:(`TCP (`Port port)) (Server.make ~callback ()) in
    print_endline "ready";
    serving
  in
  Fun.protect
    ~finally:(fun () -> Printf.printf "others ran: %b\n%!" (!turns > 10))
    (fun () -> Soil_lwt.run_promise serve)
