let seconds = 30.

let is_plain (request : Cohttp.Request.t) =
  not (Cohttp.Header.mem request.headers "transfer-encoding")

let length ~max (request : Cohttp.Request.t) =
  if not (is_plain request) then raise (Http.Refused `Length_required);
  match Cohttp.Header.get request.headers "content-length" with
  | None -> 0
  | Some text -> (
      match int_of_string_opt ("0u" ^ text) with
      | Some n when n <= max -> n
      | Some _ | None -> raise (Http.Refused `Request_entity_too_large))

let read (connection : Http.connection) request ~max =
  let n = length ~max request in
  (* The client keeps the body back until it is asked for (RFC 9110 §10.1.1). *)
  if n > 0 && Cohttp.Header.get (Cohttp.Request.headers request) "expect" = Some "100-continue" then
    Soil.File_descriptor.write_string connection.descriptor "HTTP/1.1 100 Continue\r\n\r\n";
  match Soil.Task.timeout_opt seconds (fun () -> Soil.Reader.take connection.reader n) with
  | Some body -> body
  | None -> raise (Http.Refused `Request_timeout)
  | exception End_of_file -> raise (Http.Refused `Bad_request)
