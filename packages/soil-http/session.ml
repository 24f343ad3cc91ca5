module Request = Server.Request
module Mutex = Soil.Task.Mutex
module Key = Soil.Kv.Key

(* Contents *)

type contents = {
  created : float;
  seen : float;  (** The last use that was noted. *)
  values : (string * string) list;
}

(* Two moments, and after them names and values, each behind its length. *)
let encode contents =
  let b = Buffer.create 256 in
  let moment t = Buffer.add_int64_be b (Int64.bits_of_float t) in
  let text s =
    Buffer.add_uint16_be b (String.length s);
    Buffer.add_string b s
  in
  moment contents.created;
  moment contents.seen;
  List.iter
    (fun (name, value) ->
      text name;
      text value)
    contents.values;
  Buffer.contents b

let decode s =
  let moment at = Int64.float_of_bits (String.get_int64_be s at) in
  let text at =
    let length = String.get_uint16_be s at in
    (String.sub s (at + 2) length, at + 2 + length)
  in
  let rec values at =
    if at = String.length s then []
    else
      let name, at = text at in
      let value, at = text at in
      (name, value) :: values at
  in
  (* Offsets past the end. *)
  match { created = moment 0; seen = moment 8; values = values 16 } with
  | contents -> Some contents
  | exception Invalid_argument _ -> None

(* Clocks may be set back a little. What was noted later than that has a wrong time, and no end. *)
let tolerance = 60.
let is_over ~idle ~now seen = seen +. idle <= now || seen > now +. tolerance

(* Stores *)

(* [change f] replaces contents by [f] of them, atomically; [None] is no session. The functions get
   the time and the limit, for those that have expired. *)
type server = {
  load : string -> contents option;
  change : idle:float -> now:float -> string -> (contents option -> contents option) -> unit;
}

type store = Client of Signed.keys | Server of server

let cookies keys = Client keys

(* In memory: by key, and by the order of their last changes. *)

module Keys = Map.Make (String)
module Turns = Map.Make (Int)

type table = {
  capacity : int;
  mutable sessions : (int * contents) Keys.t;
  mutable turns : string Turns.t;
  mutable turn : int;
  mutable length : int;
}

let drop table key =
  Option.iter
    (fun (turn, _) ->
      table.turns <- Turns.remove turn table.turns;
      table.sessions <- Keys.remove key table.sessions;
      table.length <- table.length - 1)
    (Keys.find_opt key table.sessions)

let drop_oldest table ~where =
  match Turns.min_binding_opt table.turns with
  | Some (_, key) when where (snd (Keys.find key table.sessions)) -> drop table key
  | Some _ | None -> ()

let add table key contents =
  table.turn <- table.turn + 1;
  table.length <- table.length + 1;
  table.turns <- Turns.add table.turn key table.turns;
  table.sessions <- Keys.add key (table.turn, contents) table.sessions

let memory ?(capacity = 10_000) () =
  if capacity < 1 then invalid_arg "Soil_http.Session.memory: capacity is less than 1";
  let table = { capacity; sessions = Keys.empty; turns = Turns.empty; turn = 0; length = 0 } in
  let load key = Option.map snd (Keys.find_opt key table.sessions) in
  let change ~idle ~now key f =
    let after = f (load key) in
    drop table key;
    (* More than come, so that the table shrinks. *)
    for _ = 1 to 2 do
      drop_oldest table ~where:(fun contents -> is_over ~idle ~now contents.seen)
    done;
    Option.iter
      (fun contents ->
        if table.length >= table.capacity then drop_oldest table ~where:(Fun.const true);
        add table key contents)
      after
  in
  Server { load; change }

(* On a key-value store. *)

let hexadecimal s =
  String.concat ""
    (List.map (fun c -> Printf.sprintf "%02x" (Char.code c)) (List.of_seq (String.to_seq s)))

let done_ = function
  | Ok v -> v
  | Error e -> failwith ("Soil_http.Session: " ^ Soil.Kv.error_to_string e)

let absent_is default = function Error (`Not_found _) -> default | result -> done_ result
let parts = 256

let kv ?(capacity = 65536) t root =
  if capacity < parts then invalid_arg "Soil_http.Session.kv: capacity is less than 256";
  let part key = Key.add root (hexadecimal (String.sub key 0 1)) in
  let place key = Key.add (part key) (hexadecimal key) in
  let load key =
    match Soil.Kv.get t (place key) with
    | Error (`Not_found _) -> None
    | result -> decode (done_ result)
  in
  let remove key = absent_is () (Soil.Kv.remove t key) in
  let make_room ~idle ~now part =
    let used (key, _) = (absent_is 0. (Soil.Kv.last_modified t key), key) in
    let all = List.map used (absent_is [] (Soil.Kv.list t part)) in
    let expired, live = List.partition (fun (used, _) -> used +. idle <= now) all in
    List.iter (fun (_, key) -> remove key) expired;
    if List.length live >= capacity / parts then
      (* Those from the future first. They stay while there is room: the clock may not be set yet. *)
      let rank (used, key) = ((if used > now +. tolerance then neg_infinity else used), key) in
      remove (snd (List.fold_left min (rank (List.hd live)) (List.map rank live)))
  in
  (* Changes of others don't come in between. *)
  let locks = Array.init parts (fun _ -> Mutex.create ()) in
  let change ~idle ~now key f =
    Mutex.protect locks.(Char.code key.[0]) @@ fun () ->
    let before = load key in
    match f before with
    | None -> if before <> None then remove (place key)
    | Some contents ->
        if before = None then make_room ~idle ~now (part key);
        done_ (Soil.Kv.set t (place key) (encode contents))
  in
  Server { load; change }

(* Kinds *)

(* A session of a request. *)
type session = {
  id : string;
  is_new : bool;
  found : contents;
  edits : (string * string option) list;  (** Changes, the last one first. *)
}

type state = {
  mutable is_open : bool;
  mutable is_loaded : bool;
  mutable session : session option;
  mutable ended : string list;  (** Identifiers. *)
  mutable is_renewed : bool;  (** The session goes on from one of them. *)
  mutable applied : Cookie.t option option;  (** The cookie, once the changes were applied. *)
  mutable is_invalidated : bool;
}

type t = {
  cookie : string;
  secure : bool;
  idle : float;
  lifetime : float;
  now : unit -> float;
  store : store;
  key : state Request.key;
}

let is_limit seconds = seconds >= 1. && seconds <= 1e9

let create ?cookie ?(secure = true) ?(idle = 3600.) ?(lifetime = 86400.) ?(now = Soil.Clock.now)
    store =
  if not (is_limit idle && is_limit lifetime) then
    invalid_arg "Soil_http.Session.create: a limit isn't between 1 and 10^9 seconds";
  let cookie = Option.value cookie ~default:(if secure then "__Host-session" else "session") in
  ignore (Cookie.make ~secure cookie "");
  { cookie; secure; idle; lifetime; now; store; key = Request.key () }

let id_bytes = 24
let max_bytes t = match t.store with Client _ -> 2500 | Server _ -> 16384

(* What a store has instead of the identifier. *)
let key_of id = Soil.Sha256.digest id

let is_valid t contents =
  let now = t.now () in
  contents.created <= contents.seen
  && (not (is_over ~idle:t.idle ~now contents.seen))
  && now < contents.created +. t.lifetime

let valid t contents =
  match contents with Some c when is_valid t c -> Some c | Some _ | None -> None

let of_base64 s = Base64.decode ~pad:false ~alphabet:Base64.uri_safe_alphabet s
let to_base64 s = Base64.encode_string ~pad:false ~alphabet:Base64.uri_safe_alphabet s
let session_of id found = { id; is_new = false; found; edits = [] }

let load t request =
  match t.store with
  | Client keys ->
      let content = Signed.find keys request t.cookie in
      let split s =
        if String.length s < id_bytes then None
        else
          let contents = decode (String.sub s id_bytes (String.length s - id_bytes)) in
          Option.map (session_of (String.sub s 0 id_bytes)) (valid t contents)
      in
      Option.bind content split
  | Server store -> (
      match Option.map of_base64 (Cookie.find request t.cookie) with
      | Some (Ok id) when String.length id = id_bytes ->
          Option.map (session_of id) (valid t (store.load (key_of id)))
      | Some _ | None -> None)

let state t request =
  match Request.find request t.key with
  | Some state when state.is_open ->
      if not state.is_loaded then (
        state.session <- load t request;
        state.is_loaded <- true);
      state
  | Some _ -> invalid_arg "Soil_http.Session: the handler has returned"
  | None -> invalid_arg "Soil_http.Session: no Session.handler around this handler"

(* Values *)

let edit values (name, value) =
  let others = List.remove_assoc name values in
  match value with Some v -> others @ [ (name, v) ] | None -> others

let edited values edits = List.fold_left edit values (List.rev edits)
let values session = edited session.found.values session.edits

let new_session t edits =
  let now = t.now () in
  let found = { created = now; seen = now; values = [] } in
  { id = Soil.Random.string id_bytes; is_new = true; found; edits }

let begun t state = match state.session with Some session -> session | None -> new_session t []
let all t request = Option.fold ~none:[] ~some:values (state t request).session
let find t request name = List.assoc_opt name (all t request)

let set t request name value =
  let state = state t request in
  let session = begun t state in
  let session = { session with edits = (name, Some value) :: session.edits } in
  let size sum (name, value) = sum + String.length name + String.length value + 4 in
  if List.fold_left size 0 (values session) > max_bytes t then
    invalid_arg ("Soil_http.Session.set: more bytes than the store allows, with " ^ name);
  state.session <- Some session

let remove t request name =
  let state = state t request in
  Option.iter
    (fun session -> state.session <- Some { session with edits = (name, None) :: session.edits })
    state.session

let end_ state session = if not session.is_new then state.ended <- session.id :: state.ended

let renew t request =
  let state = state t request in
  Option.iter
    (fun session ->
      end_ state session;
      state.is_renewed <- true;
      let edits = List.rev_map (fun (name, value) -> (name, Some value)) (values session) in
      state.session <- Some (new_session t edits))
    state.session

let invalidate t request =
  let state = state t request in
  Option.iter (end_ state) state.session;
  state.session <- None;
  state.is_invalidated <- true

let exists t request = (state t request).session <> None

let secret t request =
  let state = state t request in
  let session = begun t state in
  state.session <- Some session;
  session.id

(* The end of a request *)

(* The contents after this request, of those before it; [None] if another has ended the session. *)
let changed now session before =
  match before with
  | None when not session.is_new -> None
  | Some _ | None ->
      let before = Option.value before ~default:session.found in
      Some
        {
          before with
          seen = Float.max before.seen now;
          values = edited before.values session.edits;
        }

(* The value of the cookie; [None] if another request has ended the session. *)
let save t session =
  let now = t.now () in
  match t.store with
  | Server store ->
      let is_kept = ref false in
      store.change ~idle:t.idle ~now (key_of session.id) (fun before ->
          let after = changed now session (valid t before) in
          is_kept := after <> None;
          after);
      if !is_kept then Some (to_base64 session.id) else None
  | Client keys ->
      let seen = Float.max session.found.seen now in
      let contents = { session.found with seen; values = values session } in
      Some (Signed.sign keys ~name:t.cookie (session.id ^ encode contents))

(* Whether it was there; a client's cookie always is. *)
let forget t id =
  match t.store with
  | Client _ -> true
  | Server store ->
      let was_there = ref false in
      store.change ~idle:t.idle ~now:(t.now ()) (key_of id) (fun before ->
          was_there := valid t before <> None;
          None);
      !was_there

let is_due t session = t.now () -. session.found.seen >= t.idle /. 10.

(* A cookie that is unknown stays: the client may have got another meanwhile. *)
let new_cookie t state =
  let make = Cookie.make ~secure:t.secure ~max_age:t.lifetime t.cookie in
  match state.session with
  | Some session when session.is_new || session.edits <> [] || is_due t session ->
      Option.map make (save t session)
  | Some _ -> None
  | None when state.is_invalidated -> Some (Cookie.remove ~secure:t.secure t.cookie)
  | None -> None

(* Applies the changes, once; the cookie of the response. Also for a client that has left. *)
let apply t state =
  let change () =
    let were_there = List.map (forget t) state.ended in
    (* Another request has ended the session that was renewed. *)
    if state.is_renewed && not (List.for_all Fun.id were_there) then (
      state.session <- None;
      state.is_invalidated <- true);
    new_cookie t state
  in
  match state.applied with
  | Some cookie -> cookie
  | None ->
      state.is_open <- false;
      let cookie = Soil.Task.protect change in
      state.applied <- Some cookie;
      cookie

let finish t state response =
  match apply t state with
  | None -> response
  | Some cookie ->
      (* Whatever the handler says: a cache would give the cookie to others. *)
      Server.Response.set_header "cache-control" "no-store" (Cookie.add cookie response)

let handler t f request =
  let state =
    {
      is_open = true;
      is_loaded = false;
      session = None;
      ended = [];
      is_renewed = false;
      is_invalidated = false;
      applied = None;
    }
  in
  Request.set request t.key state;
  Request.map_response request (finish t state);
  try f request
  with e ->
    (* There is no response to a client that has left. *)
    let backtrace = Soil_backtrace.get () in
    ignore (apply t state);
    Soil_backtrace.reraise e backtrace
