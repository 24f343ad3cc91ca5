(* Sessions, on each store, and protection against forged requests. *)
open Check
module S = Soil_http.Session
module Csrf = Soil_http.Csrf

let keys = Soil_http.Signed.keys [ String.make 32 'k' ]
let clock = ref 0.
let now () = Soil.Clock.now () +. !clock

(* A browser: it keeps one cookie. *)
type browser = { mutable cookie : string option; mutable set : string }

let browser () = { cookie = None; set = "" }

let set_cookie answer =
  let prefix = "set-cookie: " in
  let lines = List.map String.trim (String.split_on_char '\n' answer) in
  Option.map
    (fun l -> String.sub l (String.length prefix) (String.length l - String.length prefix))
    (List.find_opt (String.starts_with ~prefix) lines)

let value set =
  let pair = List.hd (String.split_on_char ';' set) in
  let i = String.index pair '=' in
  String.sub pair (i + 1) (String.length pair - i - 1)

let cookie_field = function None -> "" | Some v -> "Cookie: a=1; __Host-session=" ^ v ^ "\r\n"

let request browser t f =
  let result = ref None in
  let handler request =
    result := Some (f request);
    Server.string "ok"
  in
  let answer = answers (S.handler t handler) [ get "/" ~fields:(cookie_field browser.cookie) ] in
  let set = set_cookie answer in
  browser.set <- Option.value set ~default:"";
  Option.iter (fun s -> browser.cookie <- (match value s with "" -> None | v -> Some v)) set;
  Option.get !result

let stored = Alcotest.(check (option Alcotest.string))

(* What all stores have in common. *)
let common store () =
  clock := 0.;
  let t = S.create ~now ~idle:100. ~lifetime:1000. (store ()) in
  let b = browser () in
  let get () = request b t (fun r -> S.find t r "user") in
  let set v = request b t (fun r -> S.set t r "user" v) in
  stored "none" None (get ());
  string "no cookie without a session" "" b.set;
  set "ann";
  let attributes = List.tl (String.split_on_char ';' b.set) in
  string "attributes" " Path=/; Max-Age=1000; Secure; HttpOnly; SameSite=Lax"
    (String.concat ";" attributes);
  stored "kept" (Some "ann") (get ());
  string "no cookie without a change" "" b.set;
  let binary = String.init 256 Char.chr in
  request b t (fun r ->
      S.set t r "" binary;
      S.set t r "user" "bob";
      S.set t r "x" "1";
      S.remove t r "x";
      S.remove t r "y");
  Alcotest.(check (list (pair Alcotest.string Alcotest.string)))
    "any bytes"
    [ ("", binary); ("user", "bob") ]
    (List.sort compare (request b t (fun r -> S.all t r)));
  (* Others. *)
  let other = browser () in
  stored "another browser" None (request other t (fun r -> S.find t r "user"));
  request other t (fun r -> S.set t r "user" "eve");
  stored "its own" (Some "bob") (get ());
  (* Use. *)
  clock := 50.;
  stored "in time" (Some "bob") (get ());
  bool "noted" true (b.set <> "");
  clock := 140.;
  stored "used meanwhile" (Some "bob") (get ());
  stored "idle" None (request other t (fun r -> S.find t r "user"));
  clock := 239.;
  stored "nearly idle" (Some "bob") (get ());
  clock := 345.;
  stored "idle" None (get ());
  set "dan";
  for i = 1 to 11 do
    clock := 345. +. (float_of_int i *. 90.);
    stored "used" (Some "dan") (get ())
  done;
  clock := 345. +. 1001.;
  stored "the whole lifetime" None (get ());
  (* A clock that was wrong. *)
  set "late";
  clock := 0.;
  stored "from the future" None (get ());
  (* Renewal and end. *)
  set "ann";
  let old = b.cookie in
  let secret () = request b t (fun r -> S.secret t r) in
  let before = secret () in
  string "the same" before (secret ());
  clock := 30.;
  request b t (fun r ->
      S.set t r "cart" "7";
      S.renew t r;
      S.set t r "user" "root");
  bool "another cookie" true (b.cookie <> old);
  bool "another secret" true (secret () <> before);
  stored "its values" (Some "root") (get ());
  stored "all of them" (Some "7") (request b t (fun r -> S.find t r "cart"));
  let renewed = b.cookie in
  request b t (fun r -> S.invalidate t r);
  bool "the cookie goes" true (b.cookie = None);
  stored "ended" None (get ());
  request b t (fun r ->
      S.set t r "user" "x";
      S.invalidate t r;
      S.set t r "cart" "8");
  stored "a new one" None (get ());
  stored "with what came after" (Some "8") (request b t (fun r -> S.find t r "cart"));
  (* Values that are too large. *)
  is_invalid "too large" (fun () ->
      ignore (request b t (fun r -> S.set t r "x" (String.make 20_000 'x'))));
  let large = browser () in
  request large t (fun r ->
      try S.set t r "x" (String.make 20_000 'x') with Invalid_argument _ -> ());
  string "and begins no session" "" large.set;
  (old, renewed, t)

let get_by cookie t = request { cookie; set = "" } t (fun r -> S.find t r "user")

let on_server store () =
  let old, renewed, t = common store () in
  stored "the old identifier" None (get_by old t);
  stored "the identifier of before the end" None (get_by renewed t);
  (* Identifiers that the server hasn't made. *)
  let planted = Some (String.make 32 'A') in
  let b = { cookie = planted; set = "" } in
  request b t (fun r -> S.set t r "user" "victim");
  bool "not taken over" true (b.cookie <> planted);
  stored "nor in the store" None (get_by planted t);
  let b = browser () in
  request b t (fun r -> S.set t r "big" (String.make 16_000 'x'));
  bool "16 KB" true (request b t (fun r -> S.find t r "big") <> None);
  (* A request that began before the end of its session. *)
  let late = { b with set = "" } in
  request late t (fun r ->
      S.set t r "user" "late";
      request b t (fun r -> S.invalidate t r));
  string "no cookie" "" late.set;
  stored "not revived" None (get_by late.cookie t);
  (* Two at the same time. *)
  let b = browser () in
  request b t (fun r -> S.set t r "a" "1");
  request { b with set = "" } t (fun r ->
      S.set t r "b" "2";
      request { b with set = "" } t (fun r -> S.set t r "a" "3"));
  stored "the inner one's" (Some "3") (request b t (fun r -> S.find t r "a"));
  stored "the outer one's" (Some "2") (request b t (fun r -> S.find t r "b"))

let in_cookies () =
  let _, _, t = common (fun () -> S.cookies keys) () in
  let b = browser () in
  request b t (fun r -> S.set t r "user" "ann");
  let good = Option.get b.cookie in
  (* But for the last character, which has bits that decoding drops. *)
  for i = 0 to String.length good - 2 do
    let s = Bytes.of_string good in
    Bytes.set s i (if good.[i] = 'A' then 'B' else 'A');
    stored "changed" None (get_by (Some (Bytes.to_string s)) t)
  done;
  List.iter
    (fun s -> stored (String.escaped s) None (get_by (Some s) t))
    [ ""; "."; ".."; "x"; good ^ "A"; String.make 4000 'x'; "." ^ good ];
  let other keys = S.create ~now (S.cookies (Soil_http.Signed.keys keys)) in
  let x = String.make 32 'x' and k = String.make 32 'k' in
  stored "another key" None (get_by (Some good) (other [ x ]));
  stored "rotated" (Some "ann") (get_by (Some good) (other [ x; k ]));
  stored "shorter limits hold at once" None
    (let t = S.create ~now ~idle:1. (S.cookies keys) in
     clock := !clock +. 2.;
     get_by (Some good) t);
  clock := 0.;
  request b t (fun r -> S.set t r "big" (String.make 2450 'x'));
  bool "a browser takes it" true (b.set <> "" && String.length b.set < 4096);
  stored "kept" (Some "ann") (get_by b.cookie t);
  is_invalid "too large for a cookie" (fun () ->
      ignore (request b t (fun r -> S.set t r "bigger" (String.make 100 'x'))))

let memory () = on_server (fun () -> S.memory ()) ()

let in_memory_bound () =
  clock := 0.;
  let t = S.create ~now ~idle:100. (S.memory ~capacity:3 ()) in
  let begin_ n =
    let b = browser () in
    request b t (fun r -> S.set t r "user" (string_of_int n));
    b
  in
  let all = List.init 3 begin_ in
  let user b = request b t (fun r -> S.find t r "user") in
  clock := 20.;
  stored "the first is used" (Some "0") (user (List.hd all));
  let fourth = begin_ 3 in
  Alcotest.(check (list (option Alcotest.string)))
    "the one that wasn't used for the longest time went"
    [ Some "0"; None; Some "2"; Some "3" ]
    (List.map user (all @ [ fourth ]));
  is_invalid "a capacity" (fun () -> ignore (S.memory ~capacity:0 ()))

let store name =
  match Soil.Kv.connect ("/kv/" ^ name) with
  | Ok t -> t
  | Error e -> Alcotest.fail (Soil.Kv.error_to_string e)

let with_volume f = Soil.Fs.with_mount "memory:32M" "/kv" f

let files t =
  let rec count key =
    match Soil.Kv.list t key with
    | Ok l ->
        List.fold_left
          (fun sum (key, kind) ->
            match kind with `Value -> sum + 1 | `Dictionary -> sum + count key)
          0 l
    | Error _ -> 0
  in
  count Soil.Kv.Key.empty

let on_kv () =
  with_volume @@ fun () ->
  let kv = store "a" in
  on_server (fun () -> S.kv kv (Soil.Kv.Key.v "sessions")) ();
  (* Another program. *)
  clock := 0.;
  let t () = S.create ~now ~idle:100. (S.kv kv (Soil.Kv.Key.v "sessions")) in
  let b = browser () in
  let first = t () in
  request b first (fun r -> S.set first r "user" "ann");
  stored "survives" (Some "ann") (get_by b.cookie (t ()));
  (* What is in the store is no identifier. *)
  let id = Base64.decode_exn ~pad:false ~alphabet:Base64.uri_safe_alphabet (Option.get b.cookie) in
  let hex s =
    String.concat ""
      (List.map (fun c -> Printf.sprintf "%02x" (Char.code c)) (List.of_seq (String.to_seq s)))
  in
  let name = hex (Soil.Sha256.digest id) in
  let key = Soil.Kv.Key.(v "sessions" / String.sub name 0 2 / name) in
  bool "by a hash" true (Soil.Kv.exists kv key = Ok (Some `Value))

(* At most [capacity / 256] in a dictionary, and those that have expired go. *)
let kv_bound () =
  with_volume @@ fun () ->
  let kv = store "b" in
  clock := 0.;
  let t = S.create ~now ~idle:100. (S.kv ~capacity:256 kv Soil.Kv.Key.empty) in
  for _ = 1 to 600 do
    request (browser ()) t (fun r -> S.set t r "user" "x")
  done;
  let most = files kv in
  bool "one in each dictionary at most" true (most > 100 && most <= 256);
  let t = S.create ~now ~idle:100. (S.kv ~capacity:65536 kv Soil.Kv.Key.empty) in
  clock := 1000.;
  for _ = 1 to 2000 do
    request (browser ()) t (fun r -> S.set t r "user" "y")
  done;
  bool "those that have expired are swept" true (files kv <= 2000);
  is_invalid "a capacity" (fun () -> ignore (S.kv ~capacity:255 kv Soil.Kv.Key.empty));
  (* Files that aren't sessions. *)
  let b = browser () in
  request b t (fun r -> S.set t r "user" "z");
  let spoil text =
    let rec all key =
      match Soil.Kv.list kv key with
      | Error _ -> ()
      | Ok l ->
          List.iter
            (fun (key, kind) ->
              match kind with `Value -> ignore (Soil.Kv.set kv key text) | `Dictionary -> all key)
            l
    in
    all Soil.Kv.Key.empty;
    stored "no session" None (get_by b.cookie t)
  in
  List.iter spoil [ ""; "x"; String.make 16 '\xff'; String.make 17 '\000'; String.make 100 '\000' ]

(* Where there is no room, sessions of a clock that was ahead go before those of now. *)
let kv_future () =
  with_volume @@ fun () ->
  let kv = store "c" in
  (* Four in a dictionary. *)
  let t = S.create ~idle:100. (S.kv ~capacity:1024 kv Soil.Kv.Key.empty) in
  let begin_one _ =
    let b = browser () in
    request b t (fun r -> S.set t r "user" "x");
    b
  in
  Soil.Virtual_clock.run ~now:3e9 (fun () -> ignore (List.init 1500 begin_one));
  let before = files kv in
  Soil.Virtual_clock.run ~now:2e9 @@ fun () ->
  let all = List.init 100 begin_one in
  bool "no others went" true (files kv >= before);
  let is_valid b = get_by b.cookie t = Some "x" in
  (* Five of now seldom come into one dictionary. *)
  bool "those of now stay" true (List.length (List.filter is_valid all) >= 97)

let misuse () =
  let t = S.create (S.memory ()) in
  let outside f =
    let failed = ref false in
    let handler request =
      (try f request with Invalid_argument _ -> failed := true);
      Server.string ""
    in
    ignore (answers handler [ get "/" ]);
    bool "outside" true !failed
  in
  outside (fun r -> S.set t r "a" "b");
  outside (fun r -> ignore (S.find t r "a"));
  let other = S.create (S.memory ()) in
  outside (fun r ->
      ignore
        (S.handler other
           (fun r ->
             ignore (S.find t r "a");
             Server.string "")
           r));
  is_invalid "a prefix without secure" (fun () ->
      ignore (S.create ~cookie:"__Host-a" ~secure:false (S.memory ())));
  is_invalid "a name" (fun () -> ignore (S.create ~cookie:"a b" (S.memory ())));
  is_invalid "a limit" (fun () -> ignore (S.create ~idle:0. (S.memory ())));
  is_invalid "another limit" (fun () -> ignore (S.create ~lifetime:nan (S.memory ())));
  (* A refusal keeps what was changed before. *)
  let handler r =
    S.set t r "user" "ann";
    raise (Server.Refused `Forbidden)
  in
  let answer = answers (S.handler t handler) [ get "/" ] in
  string "refused" "403" (status answer);
  bool "with a cookie" true (set_cookie answer <> None)

(* Any cookie: an answer, and no session. *)
let any_cookie store cookie =
  let t = S.create store in
  get_by (Some cookie) t = None

let gen_cookie =
  QCheck2.Gen.(
    map (String.concat "")
      (list_size (int_range 0 60) (oneofl [ "A"; "_"; "-"; "."; "="; "0"; "\xff"; " "; "\""; "," ])))

(* Forged requests *)

let token_of t browser = request browser t (fun r -> Csrf.token t r)

let csrf () =
  let t = S.create (S.memory ()) in
  let app ?origins () =
    S.handler t
      (Csrf.handler ?origins t (fun request ->
           match Soil_http.Form.find (Csrf.form request) "x" with
           | Some x -> Server.string ("x=" ^ x)
           | None -> Server.string "in"))
  in
  let send ?origins ?(meth = "POST") ?(content_type = "application/x-www-form-urlencoded") cookie fields body =
    let length = String.length body in
    answers (app ?origins ())
      [
        Printf.sprintf "%s / HTTP/1.1\r\nHost: a.example\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s%s\r\n%s"
          meth content_type length (cookie_field cookie) fields body;
      ]
  in
  let b = browser () in
  let token = token_of t b in
  int "length" 86 (String.length token);
  bool "another each time" true (token_of t b <> token);
  let form ?(token = token) () = "x=1&csrf=" ^ token in
  let passes what answer = string what "x=1" (List.hd (List.rev (String.split_on_char '|' (plain answer)))) in
  let refused what answer = string what "403" (status answer) in
  passes "a form" (send b.cookie "" (form ()));
  passes "another token of the session" (send b.cookie "" (form ~token:(token_of t b) ()));
  passes "a field of the head" (send b.cookie ("X-CSRF-Token: " ^ token ^ "\r\n") "x=1");
  passes "of this site" (send b.cookie "Sec-Fetch-Site: same-origin\r\nOrigin: https://a.example\r\n" (form ()));
  passes "entered" (send b.cookie "Sec-Fetch-Site: none\r\n" (form ()));
  passes "an older browser" (send b.cookie "Origin: http://A.example\r\n" (form ()));
  refused "no token" (send b.cookie "" "x=1");
  refused "an empty one" (send b.cookie "" (form ~token:"" ()));
  refused "the field of the head counts" (send b.cookie "X-CSRF-Token: x\r\n" (form ()));
  refused "no cookie" (send None "" (form ()));
  refused "of another session" (send b.cookie "" (form ~token:(token_of t (browser ())) ()));
  refused "another type" (send ~content_type:"text/plain" b.cookie "" (form ()));
  refused "a part" (send b.cookie "" (form ~token:(String.sub token 0 85) ()));
  for i = 0 to 84 do
    let s = Bytes.of_string token in
    Bytes.set s i (if token.[i] = 'A' then 'B' else 'A');
    refused "changed" (send b.cookie "" (form ~token:(Bytes.to_string s) ()))
  done;
  List.iter
    (fun fields -> refused fields (send b.cookie fields (form ())))
    [
      "Sec-Fetch-Site: cross-site\r\n";
      "Sec-Fetch-Site: same-site\r\n";
      "Sec-Fetch-Site: x\r\n";
      "Sec-Fetch-Site: cross-site\r\nOrigin: https://a.example\r\n";
      "Origin: null\r\n";
      "Origin: https://a.example.org\r\n";
      "Origin: https://a.example:8443\r\n";
      "Origin: a.example\r\n";
      "Origin: \r\n";
    ];
  let origins = [ "https://b.example" ] in
  passes "a trusted origin"
    (send ~origins b.cookie "Sec-Fetch-Site: cross-site\r\nOrigin: https://b.example\r\n" (form ()));
  refused "it needs a token, too" (send ~origins b.cookie "Origin: https://b.example\r\n" "x=1");
  refused "another" (send ~origins b.cookie "Origin: http://b.example\r\n" (form ()));
  List.iter
    (fun meth -> refused meth (send ~meth b.cookie "" "x=1"))
    [ "PUT"; "PATCH"; "DELETE"; "LOCK" ];
  let answer = answers (S.handler t (Csrf.handler t (fun _ -> Server.string "read"))) [ get "/" ] in
  string "reading needs none" "200" (status answer);
  request b t (fun r -> S.renew t r);
  refused "after a renewal" (send b.cookie "" (form ()))
[@@ocamlformat "disable"]

let tests =
  [
    in_run "in cookies" in_cookies;
    in_run "in memory" memory;
    in_run "in memory: capacity" in_memory_bound;
    in_run "on a key-value store" on_kv;
    in_run "on a key-value store: capacity" kv_bound;
    in_run "on a key-value store: a clock that was wrong" kv_future;
    in_run "misuse" misuse;
    property_in_run "any cookie, signed" gen_cookie (any_cookie (S.cookies keys));
    property_in_run "any cookie, in memory" gen_cookie (any_cookie (S.memory ()));
    in_run "forged requests" csrf;
  ]
