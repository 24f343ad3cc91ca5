module H = Cohttp.Header

(* Some backends take an underscore for a hyphen: what they believe of one name, they do of both. *)
let normal name =
  if String.contains name '_' then String.map (fun c -> if c = '_' then '-' else c) name else name

(* Of one connection (RFC 9110 §7.6.1), or written by this side. *)
let is_own = function
  | "connection" | "keep-alive" | "proxy-connection" | "proxy-authenticate" | "proxy-authorization"
  | "te" | "trailer" | "transfer-encoding" | "upgrade" | "content-length" | "host" | "expect" ->
      true
  | _ -> false

(* Fields about clients that backends trust. *)
let is_about_client = function
  | "x-forwarded-for" | "x-forwarded-proto" | "x-forwarded-host" | "x-real-ip" | "forwarded" | "via"
    ->
      true
  | _ -> false

let rec is_listed name = function
  | [] -> false
  | other :: rest -> Grammar.equal name other || is_listed name rest

(* Writes the fields that go on to the other side, but for those of which [take name value] is
   [true]. [Head] checked them when they came. *)
let write_end_to_end b headers take =
  let named = List.concat_map Grammar.elements (H.get_multi headers "connection") in
  List.iter
    (fun (name, value) ->
      let lower = String.lowercase_ascii name in
      let normal = normal lower in
      if
        not
          (is_own normal || is_listed lower named || is_listed normal named || take lower value
         || is_about_client normal)
      then Head.write_own b name value)
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
  Buffer.add_string b before;
  if before <> "" then Buffer.add_string b ", ";
  write ();
  Buffer.add_string b "\r\n"

(* The version in which a message has come (RFC 9110 §7.6.3). *)
let via_version : Cohttp.Code.version -> string = function
  | `HTTP_1_0 -> "1.0 "
  | `HTTP_1_1 -> "1.1 "
  | `Other _ -> "2.0 "

let write_request b ~name ~scheme request host =
  let head = Server.head request in
  let addresses = ref "" and elements = ref "" and via = ref "" in
  (* What a value leaves open would swallow the element that is added. *)
  let add list value =
    if Grammar.is_closed value then list := extended !list value;
    true
  in
  let take field value =
    match field with
    | "x-forwarded-for" -> add addresses value
    | "forwarded" -> add elements value
    | "via" -> add via value
    | _ -> false
  in
  write_end_to_end b head.headers take;
  let address =
    match Server.endpoint request with None -> None | Some { address; _ } -> Some address
  in
  (match address with
  | Some address -> write_list b "x-forwarded-for" !addresses (fun () -> write_address b address)
  | None -> if !addresses <> "" then Head.write_own b "x-forwarded-for" !addresses);
  Head.write_own b "x-forwarded-proto" scheme;
  (match host with Some host -> Head.write_own b "x-forwarded-host" host | None -> ());
  write_list b "forwarded" !elements (fun () -> write_element b ~scheme host address);
  write_list b "via" !via (fun () ->
      Buffer.add_string b (via_version head.version);
      Buffer.add_string b name)

let of_response ~name (head : Head.response) extra =
  let named = List.concat_map Grammar.elements (H.get_multi head.headers "connection") in
  let via = ref "" in
  let keep kept (field, value) =
    let lower = String.lowercase_ascii field in
    if lower = "via" then (
      if Grammar.is_closed value then via := extended !via value;
      kept)
    else if is_own (normal lower) || is_listed lower named then kept
    else H.add kept field value
  in
  let kept = List.fold_left keep (H.init ()) (H.to_list head.headers) in
  H.add_list (H.add kept "via" (extended !via (via_version head.version ^ name))) extra

(* Those of the connection and of framing can't follow a body. *)
let of_trailers trailers =
  H.of_list
    (List.filter
       (fun (name, _) -> not (is_own (normal (String.lowercase_ascii name))))
       (H.to_list trailers))
