module H = Cohttp.Header

let most = 16_384
let cut s = if String.length s > most then String.sub s 0 most ^ "…" else s

let escape s =
  let b = Buffer.create (String.length s + 64) in
  let add = function
    | '<' -> Buffer.add_string b "&lt;"
    | '>' -> Buffer.add_string b "&gt;"
    | '&' -> Buffer.add_string b "&amp;"
    | '"' -> Buffer.add_string b "&quot;"
    | '\'' -> Buffer.add_string b "&#39;"
    | c -> Buffer.add_char b c
  in
  String.iter add s;
  Buffer.contents b

let backtrace_of trace =
  match Printexc.raw_backtrace_to_string trace with
  | "" -> "none: build the program with -g, and don't set OCAMLRUNPARAM=b=0\n"
  | text -> text

let request_of (e : Server_request.error) =
  match e.request with
  | None -> ""
  | Some request ->
      let head = Server.head request in
      let method_ = Cohttp.Code.string_of_method head.meth in
      let field (name, value) = Printf.sprintf "%s: %s\n" name value in
      Printf.sprintf "%s %s\n%s" method_ head.resource
        (String.concat "" (List.map field (H.to_list head.headers)))

let style =
  "body{font:16px/1.5 \
   system-ui,sans-serif;margin:2rem;max-width:70rem}pre{overflow:auto;padding:1rem;background:#f4f4f4;color:#222}h1{font-size:1.3rem}h2{font-size:1rem}"

let html title sections =
  let section (name, text) =
    Printf.sprintf "<h2>%s</h2>\n<pre>%s</pre>\n" (escape name) (escape text)
  in
  Printf.sprintf
    "<!doctype html>\n\
     <html lang=\"en\">\n\
     <meta charset=\"utf-8\">\n\
     <title>%s</title>\n\
     <style>%s</style>\n\
     <h1>%s</h1>\n\
     %s</html>\n"
    (escape title) style (escape title)
    (String.concat "" (List.map section sections))

let text title sections =
  let section (name, text) = Printf.sprintf "\n%s:\n%s\n" name text in
  title ^ "\n" ^ String.concat "" (List.map section sections)

let is_browser (e : Server_request.error) =
  match Option.bind e.request (fun request -> Server.header request "accept") with
  | Some types -> List.exists (String.starts_with ~prefix:"text/html") (Grammar.elements types)
  | None -> false

let page (e : Server_request.error) cause trace =
  let title = Status.to_string e.status in
  let sections =
    [
      ("Exception", cut (Printexc.to_string cause));
      ("Backtrace", cut (backtrace_of trace));
      ("Request", cut (request_of e));
    ]
  in
  let kind, body =
    if is_browser e then ("text/html; charset=utf-8", html title sections)
    else ("text/plain; charset=utf-8", text title sections)
  in
  let headers = H.replace (H.replace e.headers "content-type" kind) "cache-control" "no-store" in
  Server.string ~status:e.status ~headers body

let handler f (request : Server_request.request) =
  try f request
  with e ->
    let trace = Printexc.get_raw_backtrace () and before = request.render in
    let show (error : Server_request.error) =
      match error.cause with
      | Some cause when cause == e -> page error cause trace
      | Some _ | None -> Option.value before ~default:Server_error.Error.text error
    in
    request.render <- Some show;
    Printexc.raise_with_backtrace e trace
