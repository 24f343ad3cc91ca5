module Server = Soil_http.Server
module Router = Soil_http.Router

let notes : (string, string) Hashtbl.t = Hashtbl.create 16

let show name request =
  match Hashtbl.find_opt notes name with
  | Some text -> Server.string text
  | None -> Server.error request `Not_found ~detail:("no note " ^ name)

let save name request =
  Hashtbl.replace notes name (Server.body_string ~max:10_000 request);
  Server.status `No_content

let home _ = Server.string (string_of_int (Hashtbl.length notes) ^ " notes\n")

(* The handlers of routes get the path's parameters first. *)
let app =
  Router.router
    [
      Router.get "/" (fun _ -> home);
      Router.get "/notes/:name" (fun path -> show (Router.param path "name"));
      Router.put "/notes/:name" (fun path -> save (Router.param path "name"));
      Router.get "/assets/*file" (fun _ -> Soil_http.Files.handler "/www");
    ]

let () = Soil.run @@ fun () -> Server.serve (Soil.Tcp.listen ~port:80 ()) app
