module Client = Soil_http.Client

let uri key = Soil_s3.uri ~host:"notes.s3.eu-central-1.amazonaws.com" key

let put signer client key text =
  let headers = Soil_s3.sign signer ~payload:(Body text) `PUT (uri key) in
  Client.request ~headers ~body:(String text) client `PUT (uri key) @@ fun response _ ->
  response.status

let get signer client key =
  Client.get ~headers:(Soil_s3.sign signer `GET (uri key)) client (uri key)

(* XML, with up to 1000 keys. *)
let list signer client prefix =
  let uri = Uri.with_query' (uri "") [ ("list-type", "2"); ("prefix", prefix) ] in
  Client.get ~headers:(Soil_s3.sign signer `GET uri) client uri

(* For a browser, for ten minutes. *)
let download signer key = Soil_s3.to_string (Soil_s3.presign ~expires:600 signer `GET (uri key))
