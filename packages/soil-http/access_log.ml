module H = Cohttp.Header

(* "Sun, 06 Nov 1994 08:49:37 GMT" in another order. *)
let time t =
  let date = Date.to_string t in
  let part off len = String.sub date off len in
  Printf.sprintf "%s/%s/%s:%s +0000" (part 5 2) (part 8 3) (part 12 4) (part 17 8)

(* No line break, quote or control character leaves its field. *)
let escaped = Grammar.escaped

let host (e : Server.entry) =
  match e.endpoint with
  | Some endpoint -> Soil.Net.Address.to_string endpoint.address
  | None ->
      if e.peer = "" then "-" else String.map (function ' ' -> '_' | c -> c) (escaped e.peer)

let common (e : Server.entry) =
  let bytes = if e.body_bytes = 0 then "-" else string_of_int e.body_bytes in
  Printf.sprintf "%s - - [%s] \"%s\" %d %s" (host e) (time e.started)
    (escaped (Server.request_line e))
    (Cohttp.Code.code_of_status e.status)
    bytes

let field (e : Server.entry) name =
  Option.bind e.request (fun (r : Cohttp.Request.t) -> H.get r.headers name)

let combined e =
  let quoted name = match field e name with None -> "-" | Some value -> escaped value in
  Printf.sprintf "%s \"%s\" \"%s\"" (common e) (quoted "referer") (quoted "user-agent")

let members (e : Server.entry) =
  let request =
    match e.request with
    | None -> []
    | Some r ->
        let string name text = (name, Json_string.quoted text) in
        let given key name =
          match field e name with None -> [] | Some value -> [ string key value ]
        in
        [
          string "method" (Cohttp.Code.string_of_method r.meth);
          string "target" r.resource;
          string "protocol" (Cohttp.Code.string_of_version r.version);
        ]
        @ given "host" "host" @ given "referer" "referer" @ given "user_agent" "user-agent"
  in
  let optional name = Option.fold ~none:[] ~some:(fun v -> [ (name, Json_string.quoted v) ]) in
  (("peer", Json_string.quoted e.peer) :: request)
  @ optional "route" e.route @ optional "id" e.id
  @ [
      ("status", string_of_int (Cohttp.Code.code_of_status e.status));
      ("bytes", string_of_int e.bytes);
      ("body_bytes", string_of_int e.body_bytes);
      ("seconds", Printf.sprintf "%.6f" e.seconds);
    ]

let json_object members =
  "{"
  ^ String.concat "," (List.map (fun (name, value) -> "\"" ^ name ^ "\":" ^ value) members)
  ^ "}"

let json (e : Server.entry) =
  json_object (("time", Json_string.quoted (Date.to_rfc_3339 e.started)) :: members e)

let json_members e = json_object (List.remove_assoc "id" (members e))
