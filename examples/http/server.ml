let headers ~keep_alive fields =
  let common = [ ("date", Date.to_string (Soil.Clock.now ())); ("server", "soil") ] in
  let connection = if keep_alive then [] else [ ("connection", "close") ] in
  Cohttp.Header.of_list (common @ connection @ fields)

let response ?(fields = []) ~keep_alive ~size status =
  Cohttp.Response.make ~status
    ~encoding:(Fixed (Int64.of_int size))
    ~headers:(headers ~keep_alive fields) ()

let short connection ~keep_alive ?(head_only = false) ?(fields = []) status =
  let text = Cohttp.Code.string_of_status status ^ "\n" in
  let fields = ("content-type", "text/plain; charset=utf-8") :: fields in
  let response = response ~fields ~keep_alive ~size:(String.length text) status in
  Http.respond connection response (if head_only then "" else text)

let connection ~keeps answer descriptor =
  let connection = Http.connection descriptor in
  let next () =
    match Http.request connection with
    | None -> false
    | Some request ->
        let keep_alive = Cohttp.Request.is_keep_alive request && keeps request in
        answer connection request ~keep_alive;
        if not keep_alive then Http.finish connection;
        keep_alive
  in
  let rec serve () =
    match next () with
    | true -> serve ()
    | false -> ()
    | exception Http.Refused status ->
        short connection ~keep_alive:false status;
        Http.finish connection
  in
  serve ()
