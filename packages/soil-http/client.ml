include Exchange

let is_own name =
  match String.lowercase_ascii name with
  | "host" | "content-length" | "transfer-encoding" -> true
  | _ -> false

(* [Uri] reads %2B in a path as +, which some servers take for a space: S3 does. *)
let target uri =
  let s = Uri.path_and_query uri in
  let n = Option.value (String.index_opt s '?') ~default:(String.length s) in
  let path = String.concat "%2B" (String.split_on_char '+' (String.sub s 0 n)) in
  (if path = "" then "/" else path) ^ String.sub s n (String.length s - n)

let head_text origin headers meth uri fields =
  let target = target uri in
  let name = Cohttp.Code.string_of_method meth in
  if not (Grammar.is_token name) then invalid_arg "Soil_http.Client: not a method";
  if not (String.for_all (fun c -> c > ' ' && c < '\127') target) then
    invalid_arg "Soil_http.Client: not a target";
  let headers =
    match (Uri.user uri, Uri.password uri) with
    | Some user, Some password when not (H.mem headers "authorization") ->
        H.add_authorization headers (`Basic (user, password))
    | _ -> headers
  in
  let headers = H.add_unless_exists headers "user-agent" "soil" in
  let given = List.filter (fun (name, _) -> not (is_own name)) (H.to_list headers) in
  let b = Buffer.create 512 in
  Buffer.add_string b (name ^ " " ^ target ^ " HTTP/1.1\r\n");
  Head.write b ((("host", host_field origin) :: given) @ fields);
  Buffer.contents b

(* Redirects *)

type step = Done | Again of Cohttp.Code.meth * Uri.t * H.t * body

let without headers names = List.fold_left H.remove headers names
let about_body = [ "content-type"; "content-encoding"; "content-language"; "expect" ]
let credentials = [ "authorization"; "cookie"; "proxy-authorization" ]

let redirect t origin uri meth headers body (head : Head.response) =
  match (head.status, H.get_multi head.headers "location") with
  | (301 | 302 | 303 | 307 | 308), [ location ] -> (
      let next = Uri.with_fragment (Uri.resolve "" uri (Uri.of_string location)) None in
      let next = Uri.with_userinfo next None in
      let becomes_get =
        match (head.status, meth) with
        | 303, (`GET | `HEAD) -> false
        | 303, _ | (301 | 302), `POST -> true
        | _ -> false
      in
      let there = origin_of t next in
      if origin.scheme = "https" && there.scheme = "http" then
        Soil_backtrace.raise (Failed (next, Insecure_redirect));
      let headers = if there = origin then headers else without headers credentials in
      let next = if there = origin then Uri.with_userinfo next (Uri.userinfo uri) else next in
      if becomes_get then Again (`GET, next, without headers about_body, Empty)
      else match body with Stream _ -> Done | Empty | String _ -> Again (meth, next, headers, body))
  | _ -> Done

let rec follow ?patient ?on_interim ?on_trailers scope left t meth uri headers body =
  let origin = origin_of t uri in
  let head = head_text origin headers meth uri (framing_fields meth body) in
  let x = once ?patient ?on_interim ?on_trailers scope t origin uri ~head meth body in
  let next () =
    if t.max_redirects = 0 then Done else redirect t origin uri meth headers body x.head
  in
  match Soil.Private.undoing (fun () -> abandon x) next with
  | Done -> x
  | Again (meth, next, headers, body) ->
      finish x (fun () -> is_at_end x.content);
      if left = 0 then Soil_backtrace.raise (Failed (next, Too_many_redirects));
      follow ?patient ?on_interim ?on_trailers scope (left - 1) t meth next headers body

let interim on_interim =
  Option.map
    (fun f (head : Head.response) -> f (Cohttp.Code.status_of_code head.status) head.headers)
    on_interim

let open_ ?(headers = H.init ()) ?(body = Empty) ?patient ?on_interim ?on_trailers scope t meth uri
    =
  let on_interim = interim on_interim in
  let x = follow ?patient ?on_interim ?on_trailers scope t.max_redirects t meth uri headers body in
  if Body.is_over x.content then finish x (fun () -> true);
  (cohttp_response x.head, source x)

let request ?(headers = H.init ()) ?(body = Empty) ?on_interim ?on_trailers t meth uri f =
  Soil.Task.scope @@ fun scope ->
  let on_interim = interim on_interim in
  let x = follow ?on_interim ?on_trailers scope t.max_redirects t meth uri headers body in
  match f (cohttp_response x.head) (source x) with
  | result ->
      finish x (fun () -> is_at_end x.content);
      result
  | exception e ->
      let backtrace = Soil_backtrace.get () in
      Soil_backtrace.reraise (mistake x.sending e) backtrace

let read_body (t : t) uri response source =
  match Body.read_text ~max:t.limits.body_bytes source with
  | Some text -> (response, text)
  | None -> Soil_backtrace.raise (Failed (uri, Too_large))

let get ?headers t uri = request ?headers t `GET uri (read_body t uri)
let post ?headers t uri body = request ?headers ~body t `POST uri (read_body t uri)

let upgrade ?(headers = H.init ()) t ~protocol uri f =
  Soil.Task.scope @@ fun scope ->
  let origin = origin_of t uri in
  let headers = H.add_list headers [ ("connection", "upgrade"); ("upgrade", protocol) ] in
  let x =
    once scope t origin uri ~fresh:true ~head:(head_text origin headers `GET uri []) `GET Empty
  in
  if x.head.status <> 101 then
    Soil_backtrace.raise (Failed (uri, Not_upgraded (Cohttp.Code.status_of_code x.head.status)))
  else if not (Grammar.mem x.head.headers "upgrade" protocol) then
    Soil_backtrace.raise (Failed (uri, Malformed))
  else f (cohttp_response x.head) (Input.duplex x.conn.input)
