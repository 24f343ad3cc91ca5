module Promise = Soil.Task.Promise
module Server = Soil_http.Server

type t = {
  scope : Soil.Task.scope;
  check : unit -> bool;
  mutable current : bool Promise.t option;  (** The check that is under way. *)
}

let create scope check = { scope; check; current = None }

let start t =
  let result = Promise.create () in
  t.current <- Some result;
  let run () =
    let is_ready = t.check () in
    t.current <- None;
    Promise.fulfil result is_ready
  in
  (* It serves others, too, when the one who has asked first leaves. *)
  ignore (Soil.Task.spawn_daemon t.scope run);
  result

let is_ready t = Promise.await (match t.current with Some result -> result | None -> start t)

let handle t request =
  if (not (Server.is_draining request)) && is_ready t then Server.string "ready\n"
  else Server.status `Service_unavailable
