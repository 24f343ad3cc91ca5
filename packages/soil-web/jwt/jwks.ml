module Client = Soil_http.Client
module Task = Soil.Task

type set = { list : Key.t list; left_out : (string option * string) list; max_age : float }
type stored = { set : set; fetched : float }

type t = {
  scope : Task.scope;
  client : Client.t;
  uri : Uri.t;
  max_bytes : int option;
  max_keys : int option;
  max_age : float;
  max_stale : float;
  min_interval : float;
  timeout : float;
  mutable stored : stored option;
  mutable begun : float; (* When the last request began, by the monotonic clock. *)
  mutable pending : unit Task.t option;
  mutable error : string option;
}

let create ?max_bytes ?max_keys ?(max_age = 3600.) ?(max_stale = 86400.) ?(min_interval = 30.)
    ?(timeout = 10.) ?(allow_http = false) scope client uri =
  if Uri.scheme uri <> Some "https" && not allow_http then
    invalid_arg "Soil_jwt.Jwks.create: the URI isn't https";
  {
    scope;
    client;
    uri;
    max_bytes;
    max_keys;
    max_age;
    max_stale;
    min_interval;
    timeout;
    stored = None;
    begun = neg_infinity;
    pending = None;
    error = None;
  }

(* RFC 9111 §5.2.2.1 *)
let max_age_of headers =
  let directives = Cohttp.Header.get_multi_concat ~list_value_only:false headers "cache-control" in
  let seconds directive =
    match String.split_on_char '=' (String.trim directive) with
    | [ name; n ] when String.lowercase_ascii name = "max-age" ->
        Option.map float_of_int (int_of_string_opt n)
    | _ -> None
  in
  Option.bind directives (fun s -> List.find_map seconds (String.split_on_char ',' s))

let lifetime t headers =
  match max_age_of headers with
  | None -> t.max_age
  | Some seconds -> Float.min t.max_age (Float.max t.min_interval seconds)

let max_body t = Option.value t.max_bytes ~default:(256 * 1024)

let fetch t =
  let headers = Cohttp.Header.of_list [ ("accept", "application/json") ] in
  Task.timeout t.timeout @@ fun () ->
  Client.request ~headers t.client `GET t.uri @@ fun response source ->
  match response.status with
  | `OK -> (
      let text = Soil.File_descriptor.read_all ~max:(max_body t) source in
      let left_out = ref [] in
      let leave_out id reason = left_out := (id, reason) :: !left_out in
      match Jwk.set ?max_bytes:t.max_bytes ?max_keys:t.max_keys ~left_out:leave_out text with
      | Ok list -> { list; left_out = List.rev !left_out; max_age = lifetime t response.headers }
      | Error reason -> failwith reason)
  | status -> failwith ("status " ^ Cohttp.Code.string_of_status status)

let reason t = function
  | Failure reason -> Uri.to_string t.uri ^ ": " ^ reason
  | Client.Failed (uri, problem) -> Uri.to_string uri ^ ": " ^ Client.problem_to_string problem
  | Soil.Error e -> Soil.Error.to_string e
  | Task.Timeout _ -> Uri.to_string t.uri ^ ": no response in time"
  | End_of_file -> Uri.to_string t.uri ^ ": the connection ended"
  | _ -> Uri.to_string t.uri ^ ": the request failed"

let store t = function
  | Ok set ->
      t.stored <- Some { set; fetched = Soil.Clock.monotonic () };
      t.error <- None
  | Error e -> t.error <- Some (reason t e)

(* The request is a task of the scope, so that it doesn't end with the task that needed it first. *)
let start t =
  t.begun <- Soil.Clock.monotonic ();
  let run () =
    let request = Task.spawn_result t.scope (fun () -> fetch t) in
    store t (Task.await request)
  in
  let task = Task.spawn t.scope run in
  t.pending <- Some task;
  Task.on_end task (fun () -> t.pending <- None);
  task

(* The request under way; none begins too soon after the last one. *)
let request t =
  match t.pending with
  | Some _ as task -> task
  | None when Soil.Clock.monotonic () -. t.begun >= t.min_interval -> Some (start t)
  | None -> None

let refresh t = Option.iter Task.await (request t)
let age s = Soil.Clock.monotonic () -. s.fetched

let current t =
  match t.stored with
  | Some s when age s < s.set.max_age +. t.max_stale -> Ok s.set.list
  | Some _ | None -> Error (Option.value t.error ~default:"no request has ended yet")

(* Stale keys count at once, as with the directive of RFC 5861 §3: a provider that is silent, or
   slow, delays no token. *)
let keys t =
  (match t.stored with
  | Some s when age s < s.set.max_age -> ()
  | Some s when age s < s.set.max_age +. t.max_stale -> ignore (request t)
  | Some _ | None -> refresh t);
  current t

let left_out t = match t.stored with Some s -> s.set.left_out | None -> []
let last_error t = t.error
let ( let* ) = Result.bind
let unavailable = Result.map_error (fun reason -> Problem.Unavailable reason)

(* Why the issuer's key of [jws] isn't among the keys. *)
let explained t jws problem =
  let reason = Option.bind (Jws.id jws) (fun id -> List.assoc_opt (Some id) (left_out t)) in
  Option.fold reason ~none:problem ~some:(fun reason -> Problem.Unusable_key reason)

let verify_jws t jws =
  let* list = unavailable (keys t) in
  match Jws.verify list jws with
  | Error (Problem.Algorithm | Problem.Unknown_key) -> (
      refresh t;
      let* list = unavailable (current t) in
      match Jws.verify list jws with
      | Error ((Problem.Algorithm | Problem.Unknown_key) as problem) ->
          Error (explained t jws problem)
      | result -> result)
  | result -> result

let verify t policy token =
  let* jws = Token.parse policy token in
  let* payload = verify_jws t jws in
  Token.check policy payload
