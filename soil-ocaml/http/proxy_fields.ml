module H = Cohttp.Header

(* Of one connection (RFC 9110 §7.6.1), or written by this side. *)
let is_own = function
  | "connection" | "keep-alive" | "proxy-connection" | "proxy-authenticate" | "proxy-authorization"
  | "te" | "trailer" | "transfer-encoding" | "upgrade" | "content-length" | "host" | "expect" ->
      true
  | _ -> false

(* Fields about clients that backends trust. Some backends take an underscore for a hyphen. *)
let is_about_client name =
  match String.map (fun c -> if c = '_' then '-' else c) name with
  | "x-forwarded-for" | "x-forwarded-proto" | "x-forwarded-host" | "x-real-ip" | "forwarded" | "via"
    ->
      true
  | _ -> false

let rec is_listed name = function
  | [] -> false
  | other :: rest -> Grammar.equal name other || is_listed name rest

(* Writes the fields that go on to the other side, but for those of which [take name value] is
   [true]. *)
let write_end_to_end b headers take =
  let named = List.concat_map Grammar.elements (H.get_multi headers "connection") in
  List.iter
    (fun (name, value) ->
      let lower = String.lowercase_ascii name in
      if not (is_own lower || is_listed lower named || take lower value) then
        Head.write_field b (name, value))
    (H.to_list headers)

let extended before value = match before with "" -> value | before -> before ^ ", " ^ value

let quoted s =
  if Grammar.is_token s then s
  else
    let b = Buffer.create (String.length s + 2) in
    Buffer.add_char b '"';
    String.iter
      (fun c ->
        if c = '"' || c = '\\' then Buffer.add_char b '\\';
        Buffer.add_char b c)
      s;
    Buffer.add_char b '"';
    Buffer.contents b

(* RFC 7239 §4. *)
let forwarded ~scheme host (client : Soil.Net.Endpoint.t option) =
  let address =
    match client with
    | None -> "unknown"
    | Some { address; _ } ->
        let text = Soil.Net.Address.to_string address in
        if Soil.Net.Address.is_v4 address then text else "[" ^ text ^ "]"
  in
  let host = match host with Some host -> ";host=" ^ quoted host | None -> "" in
  "for=" ^ quoted address ^ host ^ ";proto=" ^ scheme

let write_request b ~name ~scheme request host =
  let head = Server.head request in
  let addresses = ref "" and elements = ref "" and via = ref "" in
  let add list value = list := extended !list value in
  let take field value =
    match field with
    | "x-forwarded-for" ->
        add addresses value;
        true
    | "forwarded" ->
        add elements value;
        true
    | "via" ->
        add via value;
        true
    | field -> is_about_client field
  in
  write_end_to_end b head.headers take;
  let client = Server.endpoint request in
  (match client with
  | None -> ()
  | Some { address; _ } -> add addresses (Soil.Net.Address.to_string address));
  if !addresses <> "" then Head.write_field b ("x-forwarded-for", !addresses);
  Head.write_field b ("x-forwarded-proto", scheme);
  Option.iter (fun host -> Head.write_field b ("x-forwarded-host", host)) host;
  Head.write_field b ("forwarded", extended !elements (forwarded ~scheme host client));
  let version = match head.version with `HTTP_1_0 -> "1.0 " | _ -> "1.1 " in
  Head.write_field b ("via", extended !via (version ^ name))

let of_response ~name (head : Head.response) extra =
  let named = List.concat_map Grammar.elements (H.get_multi head.headers "connection") in
  let via = ref "" in
  let keep (field, value) =
    let lower = String.lowercase_ascii field in
    if lower = "via" then via := extended !via value;
    not (is_own lower || lower = "via" || is_listed lower named)
  in
  let kept = List.filter keep (H.to_list head.headers) in
  H.of_list (kept @ (("via", extended !via ("1.1 " ^ name)) :: extra))
