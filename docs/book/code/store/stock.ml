open Store

let line (p : Products.t) = Printf.sprintf "%d %s: %d in stock\n" p.id p.name p.stock

let () =
  Soil.run @@ fun () ->
  Soil.Task.scope @@ fun scope ->
  let db = Database.create scope (Uri.of_string Sys.argv.(1)) in
  Schema.create db;
  (match Products.add db ~name:"a teapot" ~price:1250 ~stock:10 with
  | Ok _ -> ()
  | Error (`Invalid reason) -> failwith reason
  | Error `Full -> print_endline "no room for another teapot");
  let listener = Soil.Tcp.listen ~port:8080 () in
  print_endline "the stock is open";
  Soil_http.Server.serve listener @@ fun _ ->
  Soil_http.Server.string (String.concat "" (List.map line (Products.all db)))
