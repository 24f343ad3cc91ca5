(* The one that is looked for most comes first. *)
let table : (Cohttp.Code.status_code * int * string) list =
  [
    (`OK, 200, "OK");
    (`Continue, 100, "Continue");
    (`Switching_protocols, 101, "Switching Protocols");
    (`Processing, 102, "Processing");
    (`Checkpoint, 103, "Checkpoint");
    (`Created, 201, "Created");
    (`Accepted, 202, "Accepted");
    (`Non_authoritative_information, 203, "Non-Authoritative Information");
    (`No_content, 204, "No Content");
    (`Reset_content, 205, "Reset Content");
    (`Partial_content, 206, "Partial Content");
    (`Multi_status, 207, "Multi-Status");
    (`Already_reported, 208, "Already Reported");
    (`Im_used, 226, "IM Used");
    (`Multiple_choices, 300, "Multiple Choices");
    (`Moved_permanently, 301, "Moved Permanently");
    (`Found, 302, "Found");
    (`See_other, 303, "See Other");
    (`Not_modified, 304, "Not Modified");
    (`Use_proxy, 305, "Use Proxy");
    (`Switch_proxy, 306, "Switch Proxy");
    (`Temporary_redirect, 307, "Temporary Redirect");
    (`Permanent_redirect, 308, "Permanent Redirect");
    (`Bad_request, 400, "Bad Request");
    (`Unauthorized, 401, "Unauthorized");
    (`Payment_required, 402, "Payment Required");
    (`Forbidden, 403, "Forbidden");
    (`Not_found, 404, "Not Found");
    (`Method_not_allowed, 405, "Method Not Allowed");
    (`Not_acceptable, 406, "Not Acceptable");
    (`Proxy_authentication_required, 407, "Proxy Authentication Required");
    (`Request_timeout, 408, "Request Timeout");
    (`Conflict, 409, "Conflict");
    (`Gone, 410, "Gone");
    (`Length_required, 411, "Length Required");
    (`Precondition_failed, 412, "Precondition Failed");
    (`Request_entity_too_large, 413, "Request Entity Too Large");
    (`Request_uri_too_long, 414, "Request-URI Too Long");
    (`Unsupported_media_type, 415, "Unsupported Media Type");
    (`Requested_range_not_satisfiable, 416, "Requested Range Not Satisfiable");
    (`Expectation_failed, 417, "Expectation Failed");
    (`I_m_a_teapot, 418, "I'm a teapot");
    (`Enhance_your_calm, 420, "Enhance Your Calm");
    (`Unprocessable_entity, 422, "Unprocessable Entity");
    (`Locked, 423, "Locked");
    (`Failed_dependency, 424, "Failed Dependency");
    (`Upgrade_required, 426, "Upgrade Required");
    (`Precondition_required, 428, "Precondition Required");
    (`Too_many_requests, 429, "Too Many Requests");
    (`Request_header_fields_too_large, 431, "Request Header Fields Too Large");
    (`No_response, 444, "No Response");
    (`Retry_with, 449, "Retry With");
    (`Blocked_by_windows_parental_controls, 450, "Blocked by Windows Parental Controls");
    (`Wrong_exchange_server, 451, "Wrong Exchange server");
    (`Client_closed_request, 499, "Client Closed Request");
    (`Internal_server_error, 500, "Internal Server Error");
    (`Not_implemented, 501, "Not Implemented");
    (`Bad_gateway, 502, "Bad Gateway");
    (`Service_unavailable, 503, "Service Unavailable");
    (`Gateway_timeout, 504, "Gateway Timeout");
    (`Http_version_not_supported, 505, "HTTP Version Not Supported");
    (`Variant_also_negotiates, 506, "Variant Also Negotiates");
    (`Insufficient_storage, 507, "Insufficient Storage");
    (`Loop_detected, 508, "Loop Detected");
    (`Bandwidth_limit_exceeded, 509, "Bandwidth Limit Exceeded");
    (`Not_extended, 510, "Not Extended");
    (`Network_authentication_required, 511, "Network Authentication Required");
    (`Network_read_timeout_error, 598, "Network read timeout error");
    (`Network_connect_timeout_error, 599, "Network connect timeout error");
  ]

let code = function
  | `Code n -> n
  | status ->
      let _, n, _ = List.find (fun (s, _, _) -> s == status) table in
      n

let of_code n =
  match List.find_opt (fun (_, code, _) -> code = n) table with
  | Some (status, _, _) -> status
  | None -> `Code n

let phrase n =
  match List.find_opt (fun (_, code, _) -> code = n) table with
  | Some (_, _, phrase) -> phrase
  | None -> "Status"

let to_string status =
  let n = code status in
  string_of_int n ^ " " ^ phrase n

let methods =
  [
    ("GET", `GET); ("POST", `POST); ("HEAD", `HEAD); ("DELETE", `DELETE); ("PATCH", `PATCH);
    ("PUT", `PUT); ("OPTIONS", `OPTIONS); ("TRACE", `TRACE); ("CONNECT", `CONNECT);
  ]
[@@ocamlformat "disable"]

let meth s = match List.assoc_opt s methods with Some m -> m | None -> `Other s

let meth_to_string = function
  | `Other s -> s
  | m -> fst (List.find (fun (_, other) -> other == m) methods)

let version_to_string = function `HTTP_1_0 -> "HTTP/1.0" | `HTTP_1_1 -> "HTTP/1.1" | `Other s -> s
