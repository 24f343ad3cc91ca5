module Websocket = Soil_http.Websocket

let answer request =
  match Soil_http.Server.path request with
  | "/echo" -> Websocket.accept request (fun ws -> Websocket.iter (Websocket.send ws) ws)
  | _ -> Soil_http.Server.status `Not_found
