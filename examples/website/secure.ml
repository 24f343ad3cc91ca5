(* The same over TLS, with a certificate and its key in PEM files: on port 443, or the port given as
   argument. A program of its own, since the other is smaller by half without TLS. *)

let seconds_between_looks = 60.

(* New connections get what the files hold when they are replaced. *)
let rec keep_up certificates files =
  Soil.Clock.sleep seconds_between_looks;
  (match Soil.Error.catch (fun () -> Soil_tls.Files.reload certificates files) with
  | Ok () -> ()
  | Error e -> prerr_endline ("website: " ^ Soil.Error.to_string e));
  keep_up certificates files

let serve ~chain ~key port =
  Printexc.register_printer Soil.Error.printer;
  Soil.run @@ fun () ->
  let files = [ (chain, key) ] in
  match Soil.Error.catch (fun () -> Soil_tls.Files.certificates files) with
  | Error e ->
      prerr_endline ("website: " ^ Soil.Error.to_string e);
      exit 1
  | Ok certificates ->
      Soil.Task.scope @@ fun scope ->
      ignore (Soil.Task.spawn_daemon scope (fun () -> keep_up certificates files));
      let config = Soil_tls.server_config ~protocols:[ "http/1.1" ] certificates in
      Site.run
        ~secure:(fun c -> (Soil_tls.server config c :> Soil.Flow.t))
        ~scheme:"https" ~default:443 port

let () =
  match Sys.argv with
  | [| _; chain; key |] -> serve ~chain ~key 443
  | [| _; chain; key; port |] -> serve ~chain ~key (Site.port port)
  | _ ->
      prerr_endline "usage: website CHAIN.pem KEY.pem [PORT]";
      exit 2
