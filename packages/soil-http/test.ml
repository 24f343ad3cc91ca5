module D = Soil.File_descriptor
module H = Cohttp.Header

type cookie = { host : string; path : string; name : string; value : string; until : float }

type t = {
  client : Client.t;
  connect : unit -> Soil.Flow.t;
  connections : (Soil.Flow.t * unit Soil.Task.t) list ref;
  keeps_cookies : bool;
  mutable cookies : cookie list;
}

type response = { status : Cohttp.Code.status_code; headers : H.t; body : string }

let client t = t.client
let connect t = t.connect ()

(* Cookies (RFC 6265 §5) *)

let attribute name parts =
  let is_it (n, _) = String.lowercase_ascii n = name in
  Option.map snd (List.find_opt is_it (List.rev parts))

let seconds s =
  match int_of_string_opt s with
  | Some n -> Some (Soil.Clock.now () +. float_of_int n)
  | None -> None

let expiry parts =
  match Option.bind (attribute "max-age" parts) seconds with
  | Some moment -> moment
  | None -> Option.value (Option.bind (attribute "expires" parts) Date.of_string) ~default:infinity

(* The directory of the request's path. *)
let default_path path =
  match String.rindex_opt path '/' with None | Some 0 -> "/" | Some i -> String.sub path 0 i

let keep t host request_path field =
  let pair part =
    let name, value = Soil.Private.cut '=' part in
    (String.trim name, String.trim value)
  in
  match List.map pair (String.split_on_char ';' field) with
  | [] -> ()
  | (name, value) :: attributes ->
      let path =
        match attribute "path" attributes with
        | Some path when String.starts_with ~prefix:"/" path -> path
        | Some _ | None -> default_path request_path
      in
      let is_other c = (c.host, c.path, c.name) <> (host, path, name) in
      let cookie = { host; path; name; value; until = expiry attributes } in
      t.cookies <- cookie :: List.filter is_other t.cookies

let is_below path outer =
  String.starts_with ~prefix:outer path
  &&
  let n = String.length outer in
  String.length path = n || outer.[n - 1] = '/' || path.[n] = '/'

let with_cookies t host path headers =
  let now = Soil.Clock.now () in
  t.cookies <- List.filter (fun c -> c.until > now) t.cookies;
  let is_sent c = c.host = host && is_below path c.path in
  let longest_first a b = Int.compare (String.length b.path) (String.length a.path) in
  match List.stable_sort longest_first (List.filter is_sent (List.rev t.cookies)) with
  | [] -> headers
  | cookies ->
      let pairs = List.map (fun c -> c.name ^ "=" ^ c.value) cookies in
      H.add_unless_exists headers "cookie" (String.concat "; " pairs)

(* Requests *)

let base = Uri.of_string "http://localhost/"

(* The server has ended with the connections that the client has closed: errors were reported. *)
let await_closed t =
  let still_open, closed = List.partition (fun (flow, _) -> D.is_open flow) !(t.connections) in
  t.connections := still_open;
  List.iter (fun (_, task) -> Soil.Task.await task) closed

let request ?(headers = H.init ()) ?(body = Client.Empty) t meth target =
  let uri = Uri.resolve "http" base (Uri.of_string target) in
  let host = Option.value (Uri.host uri) ~default:"" in
  let headers = if t.keeps_cookies then with_cookies t host (Uri.path uri) headers else headers in
  let response =
    Client.request t.client ~headers ~body meth uri @@ fun (head : Cohttp.Response.t) source ->
    { status = head.status; headers = head.headers; body = D.read_all ~max:max_int source }
  in
  if t.keeps_cookies then
    List.iter (keep t host (Uri.path uri)) (H.get_multi response.headers "set-cookie");
  await_closed t;
  response

let get ?headers t target = request ?headers t `GET target
let post ?headers t target body = request ?headers ~body:(String body) t `POST target

let post_form ?(headers = H.init ()) t target fields =
  let headers = H.add headers "content-type" "application/x-www-form-urlencoded" in
  let fields = List.map (fun (name, value) -> (name, [ value ])) fields in
  post ~headers t target (Uri.encoded_of_query fields)

(* Connections *)

(* A handler that never responds ends a test: a check for clients that have left keeps the virtual
   clock from a deadlock. *)
let day = 86400.

let client_limits =
  {
    Client.default_limits with
    head_seconds = day;
    body_seconds = day;
    write_seconds = day;
    body_bytes = max_int;
  }

let address = Soil.Net.Address.of_string "192.0.2.1"
let report e = Soil.Private.report (fun () -> "http: exception ") e (Soil_backtrace.get ())

let run ?limits ?log ?error ?on_disconnect ?(on_error = report)
    ?(endpoint = { Soil.Net.Endpoint.address; port = 50000 }) ?(cookies = false) ?(http2 = false)
    handler f =
  Soil.Task.scope @@ fun scope ->
  let connections = ref [] in
  let connect () =
    let client, server = Soil.Flow.pair () in
    let serve () =
      D.with_close server @@ fun server ->
      let http2 = if http2 then Some (Http2.server ()) else None in
      Server.connection ?limits ?log ?error ?http2 ?on_disconnect ~on_error ~endpoint server handler
    in
    connections := (client, Soil.Task.spawn scope serve) :: !connections;
    client
  in
  let client =
    Client.create ~limits:client_limits ~max_redirects:0
      ?http2:(if http2 then Some (Http2.client ()) else None)
      ~connect:(fun ~host:_ ~port:_ -> connect ())
      ~tls:(fun ~host:_ flow -> flow)
      ()
  in
  let close () = List.iter (fun (flow, _) -> D.close flow) !connections in
  Soil.Private.finally close @@ fun () ->
  f { client; connect; connections; keeps_cookies = cookies; cookies = [] }
