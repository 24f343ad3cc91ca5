module H = Cohttp.Header

type coding = {
  name : string;
  string : string -> string;
  stream : (Soil.Flow.sink -> unit) -> Soil.Flow.sink -> unit;
}

let coding name ~string ~stream = { name; string; stream }

let is_compressible content_type =
  match Media_type.of_string content_type with
  | None -> false
  | Some { name; _ } ->
      let has suffix = String.ends_with ~suffix name in
      String.starts_with ~prefix:"text/" name
      || has "/json" || has "+json" || has "/xml" || has "+xml" || has "/javascript" || has "/wasm"

let is_eligible (r : Response.t) ~min_bytes =
  let is_long = match Response.length r with Some n -> n >= min_bytes | None -> true in
  let code = Cohttp.Code.code_of_status r.status in
  let has_content = code >= 200 && code <> 204 && code <> 206 && code <> 304 in
  let is_text = Option.fold ~none:false ~some:is_compressible in
  (match r.body with Text _ | Buffer _ | Stream _ -> true | Empty | Direct _ | Upgrade _ -> false)
  && is_long && has_content
  && is_text (H.get r.headers "content-type")
  && (not (H.mem r.headers "content-encoding" || H.mem r.headers "content-range"))
  && not (Grammar.mem r.headers "cache-control" "no-transform")

let weight request = Grammar.weight (Server.head request).headers "accept-encoding"

(* The coding that the client prefers, if it doesn't prefer none: without a weight, that comes last. *)
let preferred request codings =
  let heaviest found coding =
    let q = weight request coding.name in
    match found with
    | Some (_, most) when q <= most -> found
    | Some _ | None -> if q > 0. then Some (coding, q) else found
  in
  match List.fold_left heaviest None codings with
  | Some (coding, q) when q >= weight request "identity" -> Some coding
  | Some _ | None -> None

let vary headers =
  if Grammar.mem headers "vary" "accept-encoding" || Grammar.mem headers "vary" "*" then headers
  else H.add headers "vary" "accept-encoding"

let weak_tag tag = if String.starts_with ~prefix:"W/" tag then tag else "W/" ^ tag

let headers_of coding headers =
  let headers = H.add headers "content-encoding" coding.name in
  match H.get headers "etag" with
  | Some tag -> H.replace headers "etag" (weak_tag tag)
  | None -> headers

(* A body is there as long as it is compressed, while other tasks run. Without room for the
   compressor it is sent as it is. *)
let compressed coding (r : Response.t) headers =
  let bytes =
    match r.body with
    | Text s -> String.length s
    | Buffer b -> Bigarray.Array1.dim b
    | Empty | Direct _ | Stream _ | Upgrade _ -> 0
  in
  Soil.Budget.hold_made bytes;
  let finally () = if bytes > 0 then Soil.Budget.give_back bytes in
  Fun.protect ~finally @@ fun () ->
  match Server.Response.map_body ~string:coding.string ~stream:coding.stream r with
  | r -> { r with headers = headers_of coding headers }
  | exception e when Soil.Budget.is_refusal e -> { r with headers }

let apply ?(min_bytes = 1000) codings request (r : Response.t) : Server.response =
  if r.status = `Not_modified then { r with headers = vary r.headers }
  else if not (is_eligible r ~min_bytes) then r
  else
    let headers = vary r.headers in
    match preferred request codings with
    | None -> { r with headers }
    | Some coding -> compressed coding r headers

let handler ?min_bytes codings h request = apply ?min_bytes codings request (h request)
