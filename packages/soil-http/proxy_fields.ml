module H = Cohttp.Header

let rec is_listed name = function
  | [] -> false
  | other :: rest -> Grammar.is_taken_for name other || is_listed name rest

(* Sets of names, by their length: most names are compared with none. *)
let by_length names =
  let longest = List.fold_left (fun n name -> max n (String.length name)) 0 names in
  Array.init (longest + 1) (fun n -> List.filter (fun name -> String.length name = n) names)

let is_in set name =
  String.length name < Array.length set && is_listed name set.(String.length name)

(* Of one connection (RFC 9110 §7.6.1), or written by this side. *)
let own =
  by_length
    [
      "connection"; "keep-alive"; "proxy-connection"; "proxy-authenticate"; "proxy-authorization";
      "te"; "trailer"; "transfer-encoding"; "upgrade"; "content-length"; "host"; "expect";
    ]
[@@ocamlformat "disable"]

(* Fields about clients that backends trust. *)
let about_client =
  by_length
    [ "x-forwarded-for"; "x-forwarded-proto"; "x-forwarded-host"; "x-real-ip"; "forwarded"; "via" ]

let named_by_connection headers =
  List.concat_map Grammar.elements (H.get_multi headers "connection")

(* Writes the fields that go on to the other side, but for those named [replaced]. Those about the
   client go to [take name value]. [Head] checked them when they came. *)
let write_end_to_end b headers ~replaced take =
  let named = replaced @ named_by_connection headers in
  List.iter
    (fun (name, value) ->
      if not (is_in own name || is_listed name named) then
        if is_in about_client name then take name value else Head.write_own b name value)
    (H.to_list headers)

let extended before value = match before with "" -> value | before -> before ^ ", " ^ value

(* Nothing in a host needs a backslash: [Grammar.is_host]. *)
let write_host b host =
  if Grammar.is_token host then Buffer.add_string b host
  else (
    Buffer.add_char b '"';
    Buffer.add_string b host;
    Buffer.add_char b '"')

module A = Soil.Net.Address

(* For two fields of each request: [A.to_string] is slower. *)
let write_address b address =
  if not (A.is_v4 address) then Buffer.add_string b (A.to_string address)
  else
    let octets = A.to_octets address in
    for i = 0 to 3 do
      if i > 0 then Buffer.add_char b '.';
      Head.write_number b (Char.code octets.[i])
    done

(* RFC 7239 §4. *)
let write_element b ~scheme host address =
  Buffer.add_string b "for=";
  (match address with
  | None -> Buffer.add_string b "unknown"
  | Some address when A.is_v4 address -> write_address b address
  | Some address ->
      Buffer.add_string b "\"[";
      write_address b address;
      Buffer.add_string b "]\"");
  (match host with
  | None -> ()
  | Some host ->
      Buffer.add_string b ";host=";
      write_host b host);
  Buffer.add_string b ";proto=";
  Buffer.add_string b scheme

(* A list of the values [before], and of the one that [write] adds. *)
let write_list b name before write =
  Buffer.add_string b name;
  Buffer.add_string b ": ";
  if before <> "" then (
    Buffer.add_string b before;
    Buffer.add_string b ", ");
  write ();
  Buffer.add_string b "\r\n"

(* The version in which a message has come (RFC 9110 §7.6.3). *)
let via_version : Cohttp.Code.version -> string = function
  | `HTTP_1_0 -> "1.0 "
  | `HTTP_1_1 -> "1.1 "
  | `Other _ -> "2.0 "

(* The fields about a client, behind what came of them. *)
let write_about_client b ~name ~scheme ~version ~addresses ~elements ~via host address =
  (match address with
  | Some address -> write_list b "x-forwarded-for" addresses (fun () -> write_address b address)
  | None -> if addresses <> "" then Head.write_own b "x-forwarded-for" addresses);
  Head.write_own b "x-forwarded-proto" scheme;
  (match host with Some host -> Head.write_own b "x-forwarded-host" host | None -> ());
  write_list b "forwarded" elements (fun () -> write_element b ~scheme host address);
  write_list b "via" via (fun () ->
      Buffer.add_string b (via_version version);
      Buffer.add_string b name)

(* A longer text isn't kept: it counts as a part of what each connection takes. *)
let longest_added = 512

(* The same for each request of a connection, if none of these fields came. *)
let added (conn : Server_request.conn) ~name ~scheme ~version host address =
  match conn.added with
  | Some a when a.name == name && a.scheme == scheme && a.version == version && a.host = host ->
      a.text
  | Some _ | None ->
      let b = Buffer.create 256 in
      write_about_client b ~name ~scheme ~version ~addresses:"" ~elements:"" ~via:"" host address;
      let text = Buffer.contents b in
      if String.length text <= longest_added then
        conn.added <- Some { name; scheme; version; host; text };
      text

let check (name, _) =
  if is_in own name || is_in about_client name then
    invalid_arg ("Soil_http.Proxy: fields gives a field of the proxy's: " ^ name)

let write_request b ~name ~scheme ~fields (request : Server_request.request) host =
  List.iter check fields;
  let head = Server.head request in
  let version = head.version in
  let addresses = ref "" and elements = ref "" and via = ref "" in
  (* What a value leaves open would swallow the element that is added. *)
  let add list value = if Grammar.is_closed value then list := extended !list value in
  let take name value =
    match String.lowercase_ascii name with
    | "x-forwarded-for" -> add addresses value
    | "forwarded" -> add elements value
    | "via" -> add via value
    | _ -> ()
  in
  write_end_to_end b head.headers ~replaced:(List.map fst fields) take;
  let write_field (name, value) =
    match value with Some value -> Head.write_field b (name, value) | None -> ()
  in
  List.iter write_field fields;
  let address =
    match Server.endpoint request with None -> None | Some { address; _ } -> Some address
  in
  match (!addresses, !elements, !via) with
  | "", "", "" -> Buffer.add_string b (added request.conn ~name ~scheme ~version host address)
  | addresses, elements, via ->
      write_about_client b ~name ~scheme ~version ~addresses ~elements ~via host address

let of_response ~name (head : Head.response) extra =
  let named = named_by_connection head.headers in
  let via = ref "" in
  let keep kept (field, value) =
    if Grammar.equal field "via" then (
      if Grammar.is_closed value then via := extended !via value;
      kept)
    else if is_in own field || is_listed field named then kept
    else H.add kept field value
  in
  let kept = List.fold_left keep (H.init ()) (H.to_list head.headers) in
  H.add_list (H.add kept "via" (extended !via (via_version head.version ^ name))) extra

(* Those of the connection and of framing can't follow a body. *)
let of_trailers trailers =
  H.of_list (List.filter (fun (name, _) -> not (is_in own name)) (H.to_list trailers))
