(* Responses as handlers make them, and as middlewares see and change them. *)

module H = Cohttp.Header

type response = Response.t

let make ?(status = `OK) ?(headers = H.init ()) body = { Response.status; headers; body }
let string ?status ?headers s = make ?status ?headers (Text s)
let buffer ?status ?headers b = make ?status ?headers (Buffer b)

type ending = Response.ending = Sent | Cut | Unneeded | Not_begun

let stream ?status ?headers ?length ?trailers ?(on_end = ignore) write =
  make ?status ?headers (Stream { length; write; trailers; on_end })

let has_no_body status =
  let code = Cohttp.Code.code_of_status status in
  code < 200 || code = 204 || code = 304

let status ?(headers = H.init ()) status =
  if has_no_body status then make ~status ~headers Empty
  else
    let headers = H.add_unless_exists headers "content-type" "text/plain; charset=utf-8" in
    make ~status ~headers (Text (Status.to_string status ^ "\n"))

let redirect ?status:(code = `See_other) target =
  status ~headers:(H.init_with "location" target) (code :> Cohttp.Code.status_code)

let upgrade ?(headers = H.init ()) protocol f =
  let run ~at_stop:_ flow = f flow in
  make ~status:`Switching_protocols ~headers:(H.add headers "upgrade" protocol) (Upgrade run)

(* What middlewares see *)

module View = struct
  type t = response

  let status (r : t) = r.status
  let with_status status (r : t) = { r with status }
  let headers (r : t) = r.headers
  let header (r : t) name = H.get r.headers name
  let with_headers headers (r : t) = { r with headers }
  let add_header name value (r : t) = { r with headers = H.add r.headers name value }
  let set_header name value (r : t) = { r with headers = H.replace r.headers name value }
  let set_default name value (r : t) = { r with headers = H.add_unless_exists r.headers name value }
  let remove_header name (r : t) = { r with headers = H.remove r.headers name }
  let length = Response.length

  let map_body ~string ~stream (r : t) =
    let body : Response.body =
      match r.body with
      | (Empty | Upgrade _) as body -> body
      | Text s -> Text (string s)
      | Buffer b -> Text (string (String.init (Bigarray.Array1.dim b) (Bigarray.Array1.get b)))
      | Stream s -> Stream { s with length = None; write = stream s.write }
      | Direct { write; _ } ->
          Stream { length = None; write = stream write; trailers = None; on_end = ignore }
    in
    { r with body }
end
