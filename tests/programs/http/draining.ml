(* What becomes of clients that leave, and of those that come while the server stops, after the
   seconds given as argument. *)

module Server = Soil_http.Server

let wait _ =
  print_endline "waits";
  match Soil.Clock.sleep 3600. with
  | () -> Server.string "late\n"
  | exception (Soil.Task.Cancelled as e) ->
      print_endline "left";
      raise e

let answer request =
  match Server.path request with
  | "/wait" -> wait request
  | "/ready" ->
      if Server.is_draining request then Server.error request `Service_unavailable
      else Server.string "ready\n"
  | "/slow" ->
      print_endline "begun";
      (* The client ends its body when it has seen that the server stops. *)
      ignore (Server.body_string request);
      Server.string "done\n"
  | _ -> Server.error request `Not_found

let limits = { Server.default_limits with idle_seconds = 300.; body_seconds = 300. }
let log (e : Server.entry) = Printf.printf "%d\n%!" (Cohttp.Code.code_of_status e.status)

let () =
  Soil.run @@ fun () ->
  let lame_duck = float_of_string Sys.argv.(1) in
  let listener = Soil.Tcp.listen ~port:8000 () in
  Soil.Net.wait_up ();
  print_endline "ready";
  Server.serve ~limits ~log ~lame_duck ~grace:300. ~error:Server.Error.problem listener answer
