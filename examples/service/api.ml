module Kv = Soil.Kv
module Supervisor = Soil.Supervisor

type t = {
  supervisor : Supervisor.t;
  store : Kv.t Supervisor.child;
  max_value : int;
  store_failed : Soil.Error.t -> unit;
  fail : (string -> bool) option;
}

module Server = Soil_http.Server

let typed content_type = Cohttp.Header.init_with "content-type" content_type
let text ?status body = Server.string ?status ~headers:(typed "text/plain; charset=utf-8") body
let only status = Server.status status
let value body = Server.string ~headers:(typed "application/octet-stream") body

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

(* A length is wanted beforehand, for a refusal before the value was sent. *)
let body t request =
  if Cohttp.Header.mem (Server.head request).headers "transfer-encoding" then
    raise (Server.Refused `Length_required);
  Server.body_string ~max:t.max_value request

(* The store is asked for after the body has come: it may have been started again meanwhile. *)
let values t request path =
  match Kv.Key.v (Uri.pct_decode path) with
  | exception Invalid_argument _ -> only `Bad_request
  | key -> (
      let meth = Server.meth request in
      let body = body t request in
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
  let content_type, body = Soil_metrics.page ?accept:(Server.header request "accept") () in
  Server.string ~headers:(typed content_type) body

let answer t request =
  match (Server.meth request, String.split_on_char '/' (Server.path request)) with
  | _, "" :: "kv" :: names -> values t request (String.concat "/" names)
  | (`GET | `HEAD), [ ""; "health" ] -> health t
  | (`GET | `HEAD), [ ""; "metrics" ] -> metrics request
  | `POST, [ ""; "fail"; child ] -> (
      match t.fail with
      | Some fail when fail child -> only `Accepted
      | Some _ | None -> only `Not_found)
  | _ -> only `Not_found

let serve t ?secure listener =
  let log (entry : Server.entry) =
    match entry.request with
    | Some request -> Metrics.count ~meth:request.meth entry.status
    | None -> ()
  in
  Server.serve ~grace:2. ~log ?secure listener (answer t)
