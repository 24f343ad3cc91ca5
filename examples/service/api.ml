module Kv = Soil.Kv
module Supervisor = Soil.Supervisor

type t = {
  supervisor : Supervisor.t;
  store : Kv.t Supervisor.child;
  max_value : int;
  store_failed : Soil.Error.t -> unit;
  fail : (string -> bool) option;
}

type response = { status : Cohttp.Code.status_code; content_type : string; body : string }

let text ?(status = `OK) body = { status; content_type = "text/plain; charset=utf-8"; body }
let only status = text ~status (Cohttp.Code.string_of_status status ^ "\n")
let value body = { status = `OK; content_type = "application/octet-stream"; body }

let refused t (error : Kv.error) =
  let say status = text ~status (Kv.error_to_string error ^ "\n") in
  match error with
  | `Not_found _ -> say `Not_found
  | `No_space -> say `Insufficient_storage
  | `Failed ({ code = Invalid_name | Name_too_long; _ } : Soil.Error.t) -> say `Bad_request
  | `Failed e ->
      t.store_failed e;
      say `Service_unavailable
  | _ -> say `Conflict

let ( let* ) = Result.bind

let listing store key =
  let* entries = Kv.list store key in
  let line (key, kind) =
    Kv.Key.basename key ^ match kind with `Value -> "\n" | `Dictionary -> "/\n"
  in
  Ok (text (String.concat "" (List.map line entries)))

let get store key =
  match Kv.get store key with
  | Ok v -> Ok (value v)
  | Error (`Value_expected _) -> listing store key
  | Error e -> Error e

let put store key body =
  let* before = Kv.exists store key in
  let* () = Kv.set store key body in
  Ok (only (if before = None then `Created else `OK))

let delete store key =
  let* () = Kv.remove store key in
  Ok (only `OK)

(* The store is asked for after the body has come: it may have been started again meanwhile. *)
let values t connection request path =
  match Kv.Key.v (Uri.pct_decode path) with
  | exception Invalid_argument _ -> only `Bad_request
  | key -> (
      let meth = Cohttp.Request.meth request in
      let body = Body.read connection request ~max:t.max_value in
      let store = Supervisor.get t.store in
      let is_root = Kv.Key.equal key Kv.Key.empty in
      let result =
        match meth with
        | `GET | `HEAD -> get store key
        | `PUT when not is_root -> put store key body
        | `DELETE when not is_root -> delete store key
        | _ -> Ok (only `Method_not_allowed)
      in
      match result with Ok response -> response | Error e -> refused t e)

let health t =
  let status = if Supervisor.is_up t.supervisor then `OK else `Service_unavailable in
  text ~status (Supervisor.health_to_string (Supervisor.health t.supervisor))

let metrics request =
  let accept = Cohttp.Header.get (Cohttp.Request.headers request) "accept" in
  let content_type, body = Soil_metrics.page ?accept () in
  { status = `OK; content_type; body }

let respond t connection request =
  let meth = Cohttp.Request.meth request in
  match (meth, String.split_on_char '/' (Cohttp.Request.resource request)) with
  | _, "" :: "kv" :: names -> values t connection request (String.concat "/" names)
  | meth, path -> (
      ignore (Body.read connection request ~max:t.max_value);
      match (meth, path, t.fail) with
      | (`GET | `HEAD), [ ""; "health" ], _ -> health t
      | (`GET | `HEAD), [ ""; "metrics" ], _ -> metrics request
      | `POST, [ ""; "fail"; child ], Some fail ->
          only (if fail child then `Accepted else `Not_found)
      | _ -> only `Not_found)

let answer t connection request ~keep_alive =
  let { status; content_type; body } = respond t connection request in
  let meth = Cohttp.Request.meth request in
  Metrics.count ~meth status;
  let fields = [ ("content-type", content_type) ] in
  let response = Server.response ~fields ~keep_alive ~size:(String.length body) status in
  Http.respond connection response (if meth = `HEAD then "" else body)

let serve t = Server.connection ~keeps:Body.is_plain (answer t)
