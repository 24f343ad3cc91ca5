(* Requests of a server, what they belong to, and what middlewares leave in them. *)

module D = Soil.File_descriptor
module H = Cohttp.Header
module Budget = Soil.Budget

type limits = Limits.t

type entry = {
  peer : string;
  endpoint : Soil.Net.Endpoint.t option;
  request : Cohttp.Request.t option;
  route : string option;
  id : string option;
  status : Cohttp.Code.status_code;
  bytes : int;
  body_bytes : int;
  started : float;
  seconds : float;
}

(* A value of a request, by its key. *)
type binding = Binding : 'a Type.Id.t * 'a -> binding

(* The fields about a client that a proxy adds to a request that has none: [text], which depends on
   the others. *)
type added = {
  name : string; (* The proxy's. *)
  scheme : string;
  version : Cohttp.Code.version;
  host : string option;
  text : string;
}

(* What the connections of a listener share. *)
type server = {
  limits : limits;
  log : (entry -> unit) option;
  on_refusal : (error -> Response.t) option;
  is_draining : unit -> bool; (* A connection ends with its response. *)
  is_stopping : unit -> bool; (* No further request is waited for. *)
  watch : watch option;
  http2 : http2 option;
}

(* What [Http2] has for connections that begin with its preface: [failed] gets the exceptions of
   handlers. A value, so that only programs that ask for it link it. *)
and http2 = {
  run :
    conn ->
    (request -> Response.t) ->
    failed:(conn -> exn -> Printexc.raw_backtrace -> unit) ->
    unit;
}

(* How messages go to the client. *)
and wire = Version_1 | Version_2 of stream

(* A stream of HTTP/2: a [conn] for one request. *)
and stream = {
  respond : conn -> Response.t -> head_only:bool -> unit;
  interim : int -> (string * string) list -> unit;
}

and conn = {
  server : server;
  wire : wire;
  budget : Budget.t;
  own_bytes : int; (* Counted without any request. *)
  input : Input.t;
  output : Output.t;
  peer : string Lazy.t;
  endpoint : Soil.Net.Endpoint.t option Lazy.t;
  text : Buffer.t;
  mutable head_end : int; (* What will have been sent with the head of the response. *)
  mutable current : Cohttp.Request.t option; (* The one that is answered. *)
  mutable working : request option; (* Its handler runs, or writes a stream. *)
  mutable seen : request option; (* [working] at the last check for clients that left. *)
  mutable is_checked : bool; (* The check for a client that left uses [input]. *)
  mutable has_left : bool;
  mutable idle : bool;
  mutable at_stop : unit -> unit;
  mutable added : added option; (* To its last request, by a proxy. *)
  mutable current_id : Soil.Private.identifier; (* Of [current], once its handler has begun. *)
  mutable shortage : string option; (* Sizes when memory ran out for [current]. *)
}

and request = {
  head : Head.request;
  content : Body.t;
  conn : conn;
  scope : Soil.Task.scope;
  mutable is_wanted : bool; (* The handler may read the body. *)
  mutable max_body : int;
  mutable render : (error -> Response.t) option;
  mutable finish : Response.t -> Response.t;
  mutable route : string option;
  id : Soil.Private.identifier;
  mutable values : binding list;
}

and error = {
  status : Cohttp.Code.status_code;
  detail : string option;
  headers : H.t;
  cause : exn option;
  request : request option;
}

(* A task that looks for clients that left while their handlers run, and waits while none runs. *)
and watch = { wanted : Soil.Task.Condition.t; mutable is_active : bool }

(* Requests *)

let head r = r.head.request
let meth r = r.head.request.meth
let path_of (head : Cohttp.Request.t) = fst (Soil.Private.cut '?' head.resource)
let path r = path_of r.head.request
let query r = Uri.query (Uri.of_string r.head.request.resource)
let header r name = H.get r.head.request.headers name
let scope r = r.scope
let peer r = Lazy.force r.conn.peer
let endpoint r = Lazy.force r.conn.endpoint
let is_draining r = r.conn.server.is_draining ()

let body ?max ?(patient = false) r =
  r.is_wanted <- true;
  if patient then Body.set_pace r.content Patient;
  Body.limit r.content (match max with Some max -> max | None -> r.max_body);
  Body.source r.content

let body_string ?max r =
  let source = body ?max r in
  if Body.is_over r.content then ""
  else
    let count = Budget.grow r.conn.budget in
    let text = Body.read_all r.content source ~count in
    (* Others may have used up the memory while it came. *)
    count 0;
    text

module Request = struct
  type t = request
  type 'a key = 'a Type.Id.t

  let key () = Type.Id.make ()

  let find (type a) r (key : a key) =
    let rec go : binding list -> a option = function
      | [] -> None
      | Binding (id, v) :: rest -> (
          match Type.Id.provably_equal id key with Some Type.Equal -> Some v | None -> go rest)
    in
    go r.values

  let set r key v =
    let is_other (Binding (id, _)) = Type.Id.uid id <> Type.Id.uid key in
    r.values <- Binding (key, v) :: List.filter is_other r.values

  let route (r : t) = r.route
  let set_route (r : t) route = r.route <- Some route
  let id (r : t) = Soil.Private.text_of r.id
  let current_id = Soil.Private.current_request_id

  let set_id (r : t) id =
    if not (Grammar.is_value id) then
      invalid_arg "Soil_http.Server.Request.set_id: not the value of a field";
    Soil.Private.set_identifier r.id id

  let set_max_body r bytes = r.max_body <- bytes
  let set_error r render = r.render <- Some render

  let map_response (r : t) f =
    let inner = r.finish in
    r.finish <- (fun response -> f (inner response))
end
