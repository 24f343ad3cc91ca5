(* Routes. *)
open Check
module R = Soil_http.Router

let say name params _ =
  let shown = List.map (fun (n, v) -> " " ^ n ^ "=" ^ v) (R.params params) in
  Server.string (String.concat "" (name :: shown))

let around h params request =
  let r = h params request in
  ignore r;
  Server.string ("around " ^ String.concat "," (List.map snd (R.params params)))

let app =
  R.router
    ~not_found:(fun _ -> Server.string ~status:`Not_found "none")
    [
      R.get "/" (say "home");
      R.get "/users/:id" (say "user");
      R.delete "/users/:id" (say "delete");
      R.get "/users/me" (say "me");
      R.post "/users/me" (say "post");
      R.get "/users/:id/notes/:note" (say "note");
      R.get "/users/me/*rest" (say "mine");
      R.get "/files/*path" (say "file");
      R.any "/any" (say "any");
      R.put "/any" (say "put");
      R.get "/slash/" (say "slash");
      R.get "/\xc3\xa9" (say "literal");
      R.scope "/api/:version" ~middleware:around
        [
          R.get "" (say "api");
          R.get "/x" (say "x");
          R.scope "/deep" [ R.patch "/y/:z" (say "y") ];
          R.scope "/own"
            [ R.get "" (say "own"); R.get "/" (say "slash"); R.scope "" [ R.post "" (say "post") ] ];
        ];
      R.meth (`Other "PURGE") "/cache" (say "purge");
      R.meth `OPTIONS "/own" (say "options");
      R.meth `HEAD "/own" (say "head");
    ]

let ask ?(meth = "GET") target =
  answers app [ meth ^ " " ^ target ^ " HTTP/1.1\r\nHost: a\r\n\r\n" ]

let result ?meth target =
  let answer = ask ?meth target in
  status answer ^ " " ^ Test_files.body answer

let paths () =
  List.iter
    (fun (target, wanted) -> string target wanted (result target))
    [
      ("/", "200 home");
      ("/?a=/b", "200 home");
      ("/users/7", "200 user id=7");
      ("/users/me", "200 me");
      ("/users/%6De", "200 me");
      ("/users/ME", "200 user id=ME");
      ("/users/a%20b+c%C3%A9", "200 user id=a b+c\xc3\xa9");
      ("/users/%2541", "200 user id=%41");
      ("/users/a:b*", "200 user id=a:b*");
      ("/users/7/notes/8", "200 note id=7 note=8");
      ("/users/me/notes/8", "200 mine rest=notes/8");
      ("/files/", "200 file path=");
      ("/files/a", "200 file path=a");
      ("/files/a/b%20c/", "200 file path=a/b c/");
      ("/slash/", "200 slash");
      ("/%c3%a9", "200 literal");
      ("/api/2/x", "200 around 2");
      ("/users/", "404 none");
      ("/users//", "404 none");
      ("//", "404 none");
      ("/files", "404 none");
      ("/files//a", "404 none");
      ("/files/a//b", "404 none");
      ("/slash", "404 none");
      ("/users/7/", "404 none");
      ("/Users/7", "404 none");
      ("/api/2/deep", "404 none");
      ("/api/2", "200 around 2");
      ("/api/2/", "404 none");
      ("/api/2/own", "200 around 2");
      ("/api/2/own/", "200 around 2");
    ]

let hostile () =
  let bad target = string target "400" (status (ask target)) in
  List.iter bad
    [
      "/users/%2e";
      "/users/%2E%2e";
      "/users/..";
      "/users/.";
      "/files/../x";
      "/files/a/%2e%2e/b";
      "/users/a%2fb";
      "/users/a%2Fb";
      "/files/a%5cb";
      "/users/a\\b";
      "/users/%00";
      "/users/%0d%0aX";
      "/users/%7f";
      "/users/%";
      "/users/%4";
      "/users/%4g";
      "/users/%zz";
      "/users/%c0%ae";
      "/users/%ff";
      "/users/%ed%a0%80";
      "/nowhere/%2e%2e";
    ];
  string "dots in names" "200 user id=..." (result "/users/...");
  string "once" "200 user id=%2e%2e" (result "/users/%252e%252e")

let methods () =
  let field name answer = Test_files.field name answer in
  List.iter
    (fun (meth, target, wanted, allow) ->
      let answer = ask ~meth target in
      string (meth ^ " " ^ target) wanted (status answer ^ " " ^ Test_files.body answer);
      string (meth ^ " " ^ target ^ ": allow") allow (field "allow" answer))
    [
      ("HEAD", "/users/7", "200 ", "none");
      ("DELETE", "/users/me", "200 delete id=me", "none");
      ("POST", "/users/me", "200 post", "none");
      ("POST", "/users/7", "405 405 Method Not Allowed\n", "GET, HEAD, DELETE, OPTIONS");
      ("PUT", "/users/me", "405 405 Method Not Allowed\n", "GET, HEAD, POST, DELETE, OPTIONS");
      ("OPTIONS", "/users/7", "204 ", "GET, HEAD, DELETE, OPTIONS");
      ("OPTIONS", "/nowhere", "404 none", "none");
      ("OPTIONS", "*", "204 ", "none");
      ("OPTIONS", "/own", "200 options", "none");
      ("POST", "/own", "405 405 Method Not Allowed\n", "OPTIONS, HEAD");
      ("FOO", "/any", "200 any", "none");
      ("OPTIONS", "/any", "200 any", "none");
      ("PUT", "/any", "200 put", "none");
      ("PURGE", "/cache", "200 purge", "none");
      ("GET", "/cache", "405 405 Method Not Allowed\n", "PURGE, OPTIONS");
      ("PATCH", "/api/1/deep/y/2", "200 around 1,2", "none");
      ("POST", "/api/1/own", "200 around 1", "none");
      ("PUT", "/api/1/own", "405 405 Method Not Allowed\n", "GET, HEAD, POST, OPTIONS");
    ]

let refusals () =
  let refuses what routes =
    is_invalid what (fun () ->
        let (_ : Server.request -> Server.response) = R.router (routes ()) in
        ())
  in
  let h = say "" in
  List.iter
    (fun pattern -> refuses pattern (fun () -> [ R.get pattern h ]))
    [ ""; "a"; "/:"; "/*"; "/a//b"; "/*a/b"; "/:a/:a"; "/../a"; "/." ];
  refuses "the same" (fun () -> [ R.get "/:a" h; R.get "/:b" h ]);
  refuses "the same in a scope" (fun () -> [ R.any "/a/b" h; R.scope "/a" [ R.any "/b" h ] ]);
  refuses "a prefix" (fun () -> [ R.scope "/a/" [ R.get "/b" h ] ]);
  refuses "a name twice" (fun () -> [ R.scope "/:a" [ R.get "/:a" h ] ]);
  is_invalid "no such parameter" (fun () ->
      let app = R.router [ R.get "/:a" (fun p _ -> Server.string (R.param p "b")) ] in
      ignore (answers app [ get "/x" ]))

(* Any segments come as they were, or not at all. *)
let segments =
  let open QCheck2.Gen in
  let character = oneof [ char; oneofl [ '.'; '/'; '%'; '\\'; 'a'; '\xc3'; '\xa9' ] ] in
  list_size (int_range 1 4) (string_size ~gen:character (int_range 0 4))

let there_and_back segments =
  let escape s =
    String.concat ""
      (List.map (Printf.sprintf "%%%02x") (List.map Char.code (List.of_seq (String.to_seq s))))
  in
  let target = "/" ^ String.concat "/" (List.map escape segments) in
  let seen = ref None in
  let app =
    R.router
      [
        R.get "/*all" (fun p _ ->
            seen := Some (R.param p "all");
            Server.string "");
      ]
  in
  let status = status (answers app [ get target ]) in
  let is_safe s =
    s <> "." && s <> ".." && String.is_valid_utf_8 s
    && String.for_all (fun c -> Char.code c >= 32 && c <> '\127' && c <> '/' && c <> '\\') s
  in
  let rec no_gap = function [] | [ _ ] -> true | s :: l -> s <> "" && no_gap l in
  match !seen with
  | Some all -> status = "200" && List.for_all is_safe segments && all = String.concat "/" segments
  | None ->
      (status = "400" && not (List.for_all is_safe segments))
      || (status = "404" && not (no_gap segments))

let tests =
  [
    in_run "paths" paths;
    in_run "hostile paths" hostile;
    in_run "methods" methods;
    in_run "what isn't a router" refusals;
    property_in_run "segments there and back" segments there_and_back;
  ]
