module Proxy = Soil_http.Proxy

let () =
  match Array.to_list Sys.argv with
  | _ :: port :: (_ :: _ as backends) ->
      Soil.run @@ fun () ->
      Soil.Task.scope @@ fun scope ->
      let health = { Proxy.path = "/"; interval = 2.; fall = 2; rise = 2 } in
      let proxy = Proxy.create ~health scope (List.map Uri.of_string backends) in
      let listener = Soil.Tcp.listen ~port:(int_of_string port) () in
      Soil_http.Server.serve listener (Proxy.handle proxy)
  | _ -> prerr_endline "usage: gateway PORT URI…"
