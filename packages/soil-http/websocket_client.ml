module H = Cohttp.Header

let mask () = String.get_int32_ne (Soil.Random.string 4) 0

let connect ?(headers = H.init ()) ?(protocols = []) ?(max_bytes = Websocket_core.default_max_bytes)
    ?(ping_seconds = Websocket_core.default_ping_seconds) client uri f =
  let key = Base64.encode_string (Soil.Random.string 16) in
  let headers =
    H.add_list headers [ ("sec-websocket-version", "13"); ("sec-websocket-key", key) ]
  in
  let headers =
    if protocols = [] then headers
    else H.add headers "sec-websocket-protocol" (String.concat ", " protocols)
  in
  let scheme = match Uri.scheme uri with Some "ws" -> "http" | Some "wss" -> "https" | _ -> "" in
  let http = Uri.with_scheme uri (Some scheme) in
  Client.upgrade ~headers client ~protocol:"websocket" http @@ fun response flow ->
  let protocol = H.get response.headers "sec-websocket-protocol" in
  let is_offered = match protocol with Some p -> List.mem p protocols | None -> true in
  let key_is_known =
    H.get_multi response.headers "sec-websocket-accept" = [ Sha1.accept_key key ]
  in
  (* Extensions that weren't asked for would change what frames mean. *)
  let extended = H.mem response.headers "sec-websocket-extensions" in
  if extended || not (is_offered && key_is_known) then raise (Client.Failed (uri, Malformed));
  Websocket_core.run ~mask:(Some mask) ~protocol ~max_bytes ~ping_seconds flow f
