module Server = Soil_http.Server
module Session = Soil_http.Session
module Test = Soil_http.Test

(* The program: it counts a browser's visits of the last hour. *)
let sessions = Session.create ~idle:3600. (Session.memory ())

let visits request =
  let before = Option.value (Session.find sessions request "visits") ~default:"0" in
  let count = string_of_int (int_of_string before + 1) in
  Session.set sessions request "visits" count;
  Server.string count

let app = Session.handler sessions visits

(* Its test. *)
let () =
  Soil.Virtual_clock.run @@ fun () ->
  Test.run app ~cookies:true @@ fun browser ->
  assert ((Test.get browser "/").body = "1");
  assert ((Test.get browser "/").body = "2");
  Soil.Clock.sleep 3601.;
  assert ((Test.get browser "/").body = "1");
  (* Another browser, at the same time. *)
  Test.run app ~cookies:true @@ fun other ->
  let response = Test.get other "/" in
  assert (response.status = `OK && response.body = "1");
  assert (Cohttp.Header.mem response.headers "set-cookie")
