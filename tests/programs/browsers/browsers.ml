(* Forms that browsers send, with their files, and streams of events, some of them unread. *)

module D = Soil.File_descriptor
module Server = Soil_http.Server
module Router = Soil_http.Router
module Form = Soil_http.Form
module Multipart = Soil_http.Multipart
module Events = Soil_http.Events
module B = Soil.Broadcast

let page =
  {|<!DOCTYPE html><meta charset="utf-8">
<form id="encoded" method="post" action="/form"><input name="a b"><textarea name="text"></textarea></form>
<form id="multipart" method="post" action="/form" enctype="multipart/form-data">
<input name="a &quot;b"><textarea name="text"></textarea><input type="file" name="file" multiple>
<input type="file" name="none"></form>|}

let html text = Server.string ~headers:(Cohttp.Header.init_with "content-type" "text/html") text

let plain text =
  Server.string ~headers:(Cohttp.Header.init_with "content-type" "text/plain; charset=utf-8") text

(* Length and Adler-32 (RFC 1950). *)
let sum contents =
  let piece = Bytes.create 16384 in
  let rec go length a b =
    match D.read contents piece 0 (Bytes.length piece) with
    | 0 -> (length, (b lsl 16) lor a)
    | n ->
        (* The sums of a piece fit into an [int]. *)
        let a = ref a and b = ref b in
        for i = 0 to n - 1 do
          a := !a + Char.code (Bytes.get piece i);
          b := !b + !a
        done;
        go (length + n) (!a mod 65521) (!b mod 65521)
  in
  go 0 1 0

let form request =
  let lines = ref [] in
  let add line = lines := line :: !lines in
  let file (part : Multipart.part) contents =
    let length, sum = sum contents in
    let kind = match part.content_type with Some t -> t.name | None -> "no type" in
    let name = Option.value part.filename ~default:"" in
    add (Printf.sprintf "file [%s] [%s] %s %d %08x" part.name name kind length sum)
  in
  let form = Form.read ~max:(1 lsl 30) ~file request in
  List.iter
    (fun (name, value) -> add (Printf.sprintf "field [%s] [%s]" name (String.escaped value)))
    form;
  plain (String.concat "\n" (List.rev !lines))

let all : int B.t = B.create 8
let size = 65536

let follow policy _ =
  Events.stream ~keep_alive:0.2 @@ fun client ->
  Soil.Task.scope @@ fun scope ->
  let subscription = B.subscribe ~policy scope all in
  let send event data = Events.send client (Events.message ~event data) in
  let rec next () =
    match B.take subscription with
    | Message n ->
        send "number" (string_of_int n ^ " " ^ String.make size '.');
        next ()
    | Missed n ->
        send "missed" (string_of_int n);
        next ()
    | Ended -> send "end" "-"
  in
  next ()

let publish params _ =
  for _ = 1 to int_of_string (Router.param params "count") do
    B.publish all (B.published all);
    (* A client that reads keeps up. *)
    Soil.Clock.sleep 0.002
  done;
  plain ""

let app =
  Router.router
    [
      Router.get "/" (fun _ _ -> html page);
      Router.post "/form" (fun _ -> form);
      Router.get "/drops" (fun _ -> follow Drop_oldest);
      Router.get "/ends" (fun _ -> follow End_slow);
      Router.post "/publish/:count" publish;
      Router.post "/close" (fun _ _ ->
          B.close all;
          plain "");
      Router.get "/watching" (fun _ _ -> plain (string_of_int (B.subscribers all)));
    ]

let () =
  Soil.run @@ fun () ->
  let listener = Soil.Tcp.listen ~port:80 () in
  print_endline "ready";
  let limits = { Server.default_limits with write_seconds = 600. } in
  Server.serve ~limits ~grace:1. listener
    (Soil_http.Encoding.handler [ Soil_http_gzip.coding ~level:1 () ] app)
