module H = Cohttp.Header
include Websocket_core

let refuse request status headers = Server.error request ~headers:(H.of_list headers) status

(* RFC 6455 §10.2: a page of another site must not use the reader's cookies here. *)
let allows origins headers =
  match (H.get headers "origin", origins) with
  | None, _ | _, `Any -> true
  | Some origin, `These list -> List.exists (Grammar.equal origin) list
  | Some origin, `Same -> (
      match (String.index_opt origin ':', H.get headers "host") with
      | Some i, Some host when String.length origin > i + 3 && String.sub origin i 3 = "://" ->
          Grammar.equal (String.sub origin (i + 3) (String.length origin - i - 3)) host
      | _ -> false)

let is_key key =
  match Base64.decode key with Ok bytes -> String.length bytes = 16 | Error _ -> false

let accept ?(headers = H.init ()) ?(protocols = []) ?(origins = `Same)
    ?(max_bytes = default_max_bytes) ?(ping_seconds = default_ping_seconds) request f =
  let head = Server.head request in
  let asked = head.headers in
  let asks =
    head.meth = `GET && head.version <> `HTTP_1_0
    && Grammar.mem asked "upgrade" "websocket"
    && Grammar.mem asked "connection" "upgrade"
  in
  match H.get_multi asked "sec-websocket-key" with
  | _ when not asks -> refuse request `Upgrade_required [ ("upgrade", "websocket") ]
  | _ when H.get_multi asked "sec-websocket-version" <> [ "13" ] ->
      refuse request `Upgrade_required [ ("upgrade", "websocket"); ("sec-websocket-version", "13") ]
  | [ key ] when is_key key ->
      if not (allows origins asked) then Server.error request `Forbidden
      else
        let offered =
          List.concat_map Grammar.elements (H.get_multi asked "sec-websocket-protocol")
        in
        let protocol = List.find_opt (fun p -> List.mem p offered) protocols in
        let headers = H.add headers "sec-websocket-accept" (Sha1.accept_key key) in
        let headers =
          match protocol with Some p -> H.add headers "sec-websocket-protocol" p | None -> headers
        in
        let serve ~at_stop flow =
          let left = ref false in
          match
            Soil.Task.scope @@ fun scope ->
            let leave () =
              left := true;
              Soil.Task.cancel_scope scope
            in
            let stop = { at_stop; leave } in
            run ~stop ~mask:None ~protocol ~max_bytes ~ping_seconds flow f
          with
          | () | (exception Failed _) -> ()
          | exception Soil.Task.Cancelled when !left ->
              (* Its task may have been cancelled, too. *)
              Soil.Task.check ()
        in
        let headers = H.add headers "upgrade" "websocket" in
        { Response.status = `Switching_protocols; headers; body = Upgrade serve }
  | _ -> Server.error request `Bad_request

module Client = Websocket_client
