(* Requests to the server in virtual time, without a network. *)
module Test = Soil_http.Test

let check (response : Test.response) ~status ~body =
  if (response.status, response.body) <> (status, body) then
    failwith (Cohttp.Code.string_of_status response.status ^ ": " ^ String.escaped response.body)

let () =
  Soil.Virtual_clock.run @@ fun () ->
  Test.run Site.answer @@ fun t ->
  check (Test.get t "/") ~status:`OK ~body:"hello\n";
  check (Test.get t "/hello/a%20friend") ~status:`OK ~body:"hello a friend\n";
  check (Test.post t "/upper" "text") ~status:`OK ~body:"TEXT";
  check (Test.get t "/nowhere") ~status:`Not_found ~body:"404 Not Found\n"
