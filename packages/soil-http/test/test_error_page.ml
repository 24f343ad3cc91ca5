(* The page of an exception, for development. *)
open Check
module Page = Soil_http.Error_page

exception Broken of string

let[@inline never] fail text : string = raise (Broken text)

let app request =
  match Server.path request with
  | "/refused" -> raise (Server.Refused `Forbidden)
  | "/absent" -> Server.error request ~detail:"no such page" `Not_found
  | "/fine" -> Server.string "fine"
  | _ -> Server.string (fail "<script>alert('&')</script>")

(* The server's handler of exceptions gets them, too. *)
let ask ?(app = Page.handler app) ?(fields = "") target =
  let seen = ref "" in
  let client, server = Soil.Flow.pair () in
  let serve () =
    Fun.protect ~finally:(fun () -> D.close server) @@ fun () ->
    try Server.connection server app with Broken text -> seen := text
  in
  let receive () =
    D.write_string client (get ~fields:(fields ^ "Connection: close\r\n") target);
    let text = D.read_all client in
    D.close client;
    text
  in
  let (), text = Soil.Task.both serve receive in
  (text, !seen)

let has part text =
  let n = String.length part in
  List.exists
    (fun i -> String.sub text i n = part)
    (List.init (max 0 (String.length text - n + 1)) Fun.id)

let html () =
  Printexc.record_backtrace true;
  let text, seen = ask ~fields:"Accept: text/html, */*;q=0.8\r\nCookie: a=<b>\r\n" "/x?<y>" in
  string "status" "500" (status text);
  bool "type" true (has "content-type: text/html; charset=utf-8" text);
  bool "not kept" true (has "cache-control: no-store" text);
  bool "exception" true (has "Broken(&quot;&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;&quot;)" text);
  bool "nothing of it is markup" false (has "<script>" text || has "<y>" text || has "<b>" text);
  bool "backtrace" true (has "test_error_page.ml" text);
  bool "request" true (has "GET /x?&lt;y&gt;" text && has "cookie: a=&lt;b&gt;" (String.lowercase_ascii text));
  string "reported all the same" "<script>alert('&')</script>" seen
[@@ocamlformat "disable"]

let plain_text () =
  let text, _ = ask "/" in
  bool "type" true (has "content-type: text/plain; charset=utf-8" text);
  bool "exception" true (has "Broken(\"<script>" text);
  let long = String.make 100_000 'x' in
  let text, _ = ask ~app:(Page.handler (fun _ -> Server.string (fail long))) "/" in
  bool "cut" true (String.length text < 60_000)

let others () =
  let same ?fields target =
    string target (fst (ask ~app ?fields target)) (fst (ask ?fields target))
  in
  same "/fine";
  same "/refused";
  same "/absent";
  let show (e : Server.Error.t) = Server.string ~status:e.status "own" in
  let own app = Soil_http.Middleware.errors show app in
  bool "a page in place of the program's own" true (has "Broken" (fst (ask ~app:(own (Page.handler app)) "/")));
  bool "also inside" true (has "Broken" (fst (ask ~app:(Page.handler (own app)) "/")));
  bool "its own for others" true (has "own" (fst (ask ~app:(own (Page.handler app)) "/absent")))
[@@ocamlformat "disable"]

let tests = [ in_run "HTML" html; in_run "text" plain_text; in_run "other errors" others ]
