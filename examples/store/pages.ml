module Router = Soil_http.Router
module Files = Soil_http.Files

(* The page loads its own files only, and shows texts of others as text. *)
let secured handler params =
  Soil_http.Middleware.security ~csp:"default-src 'self'" () (handler params)

let routes =
  [
    Router.scope "" ~middleware:secured
      [
        Router.get "/" (fun _ request -> Files.file request "/store/assets/index.html");
        Router.get "/assets/*file" (fun _ -> Files.handler "/store");
      ];
  ]
