open Store
module Acme = Soil_acme

let get = Database.statement "select value from acme where name = $1"

let set =
  Database.statement
    "insert into acme values ($1, $2) on conflict (name) do update set value = excluded.value"

let create =
  Database.statement "insert into acme values ($1, $2) on conflict do nothing returning name"

let remove = Database.statement "delete from acme where name = $1"

(* For all machines: they have one account, one of them orders, and each answers the CA. *)
let store db : Acme.Store.t =
  {
    get = (fun name -> match Database.query db get [ name ] with [ [ v ] ] -> Some v | _ -> None);
    set = (fun name value -> ignore (Database.query db set [ name; value ]));
    create = (fun name value -> Database.query db create [ name; value ] <> []);
    remove = (fun name -> ignore (Database.query db remove [ name ]));
  }

let by_acme scope db ~directory names =
  let tls = Soil_tls.client (Soil_tls.client_config [ Soil_tls.Mozilla.roots ]) in
  let client = Soil_http.Client.create ~tls ~max_redirects:0 () in
  let challenges = [ Acme.Tls_alpn_01 ] in
  match Acme.create ~client ~store:(store db) ~terms_agreed:true ~challenges directory names with
  | acme ->
      ignore (Soil.Task.spawn_daemon scope (fun () -> Acme.run acme));
      Acme.tls acme (Soil_tls.server_config (Acme.certificates acme))
  | exception Invalid_argument reason ->
      prerr_endline ("store: --domains: " ^ reason);
      exit Cmdliner.Cmd.Exit.cli_error

let of_files files =
  Soil_tls.server (Soil_tls.server_config (Soil_tls.Files.certificates [ files ]))
