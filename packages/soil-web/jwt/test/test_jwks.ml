(* An issuer's keys, fetched in virtual time from a handler. *)

open Check
open Soil_jwt
open Tokens
module Server = Soil_http.Server

let uri = Uri.of_string "http://issuer/jwks"

let old_key =
  Signer.eddsa ~id:"old"
    (Mirage_crypto_ec.Ed25519.priv_of_octets (String.make 32 'o') |> Result.get_ok)

let new_key = Signer.eddsa ~id:"new" (Mirage_crypto_ec.Ed25519.priv_of_octets (String.make 32 'n') |> Result.get_ok)
[@@ocamlformat "disable"]

type issuer = {
  mutable published : string;
  mutable status : Cohttp.Code.status_code;
  mutable headers : (string * string) list;
  mutable delay : float;
  mutable requests : int;
}

let set signers = Jwk.set_to_string (List.map Signer.key signers)

let handler issuer _ =
  issuer.requests <- issuer.requests + 1;
  Soil.Clock.sleep issuer.delay;
  let headers = Cohttp.Header.of_list issuer.headers in
  Server.string ~status:issuer.status ~headers issuer.published

let with_issuer f () =
  let issuer =
    { published = set [ old_key ]; status = `OK; headers = []; delay = 0.1; requests = 0 }
  in
  Soil.Virtual_clock.run @@ fun () ->
  Soil_http.Test.run (handler issuer) @@ fun t ->
  Soil.Task.scope @@ fun scope -> f scope issuer (Soil_http.Test.client t)

let create scope client = Jwks.create ~allow_http:true scope client uri
let token s = sign ~lifetime:1e6 s []
let check keys s = Jwks.verify keys (policy ()) (token s)
let requests issuer n = int "requests" n issuer.requests

let kept scope issuer client =
  let keys = create scope client in
  requests issuer 0;
  accepts "first" (check keys old_key);
  accepts "again" (check keys old_key);
  requests issuer 1;
  Soil.Clock.sleep 3590.;
  accepts "still fresh" (check keys old_key);
  requests issuer 1;
  Soil.Clock.sleep 20.;
  accepts "too old" (check keys old_key);
  Soil.Clock.sleep 1.;
  requests issuer 2

(* Stale keys count while the request runs, and nothing waits for it. *)
let stale scope issuer client =
  let keys = create scope client in
  let in_no_time what f =
    let before = Soil.Clock.monotonic () in
    f ();
    bool (what ^ ", at once") true (Soil.Clock.monotonic () = before)
  in
  accepts "first" (check keys old_key);
  issuer.delay <- 1e6;
  issuer.published <- set [ new_key ];
  Soil.Clock.sleep 3700.;
  in_no_time "stale" (fun () -> accepts "stale" (check keys old_key));
  Soil.Clock.sleep 5.;
  in_no_time "still" (fun () -> accepts "while it runs" (check keys old_key));
  requests issuer 2;
  issuer.delay <- 0.1;
  Soil.Clock.sleep 60.;
  in_no_time "again" (fun () -> accepts "until a request has ended" (check keys old_key));
  Soil.Clock.sleep 1.;
  requests issuer 3;
  refuses "withdrawn" Unknown_key (check keys old_key);
  accepts "the new one" (check keys new_key);
  issuer.delay <- 1e6;
  Soil.Clock.sleep (3600. +. 86400.);
  let before = Soil.Clock.monotonic () in
  refuses "not for ever" (Unavailable "http://issuer/jwks: no response in time")
    (check keys new_key);
  bool "waited" true (Soil.Clock.monotonic () = before +. 10.)

let left_out scope issuer client =
  let keys = create scope client in
  issuer.published <- {|{"keys":[{"kty":"OKP","kid":"new","crv":"Ed448","x":"AA"}]}|};
  refuses "its reason" (Unusable_key "crv isn't Ed25519") (check keys new_key);
  refuses "another kid" Algorithm (check keys old_key);
  bool "reasons" true (Jwks.left_out keys = [ (Some "new", "crv isn't Ed25519") ]);
  Soil.Clock.sleep 31.;
  issuer.published <- set [ new_key ];
  accepts "mended" (check keys new_key);
  bool "no reasons" true (Jwks.left_out keys = [])
[@@ocamlformat "disable"]

let shared scope issuer client =
  let keys = create scope client in
  Soil.Task.iter (fun _ -> accepts "waiters" (check keys old_key)) (List.init 100 Fun.id);
  requests issuer 1

let cancelled scope issuer client =
  issuer.delay <- 5.;
  let keys = create scope client in
  let first = Soil.Task.spawn_result scope (fun () -> check keys old_key) in
  Soil.Clock.sleep 1.;
  Soil.Task.cancel first;
  accepts "the next waiter has its result" (check keys old_key);
  bool "cancelled" true (Soil.Task.result first = Some (Error Soil.Task.Cancelled));
  requests issuer 1

let unknown scope issuer client =
  let keys = create scope client in
  accepts "known" (check keys old_key);
  for _ = 1 to 1000 do refuses "unknown" Unknown_key (check keys new_key) done;
  requests issuer 1;
  Soil.Clock.sleep 31.;
  Soil.Task.iter (fun _ -> refuses "unknown" Unknown_key (check keys new_key)) (List.init 100 Fun.id);
  requests issuer 2;
  issuer.published <- set [ old_key; new_key ];
  Soil.Clock.sleep 31.;
  accepts "a new key" (check keys new_key);
  accepts "the old one stays" (check keys old_key);
  requests issuer 3;
  refuses "a bad signature causes no request" Algorithm (Jwks.verify keys (policy ()) (token (Signer.hs256 secret)));
  issuer.published <- set [ new_key ];
  Soil.Clock.sleep 3601.;
  accepts "stale" (check keys old_key);
  Soil.Clock.sleep 1.;
  refuses "removed" Unknown_key (check keys old_key);
  requests issuer 4
[@@ocamlformat "disable"]

let unavailable reason = Problem.Unavailable ("http://issuer/jwks: " ^ reason)

let failures scope issuer client =
  let keys = create scope client in
  issuer.status <- `Internal_server_error;
  let first = unavailable "status 500 Internal Server Error" in
  refuses "no keys" first (check keys old_key);
  refuses "no second request" first (check keys old_key);
  requests issuer 1;
  issuer.status <- `OK;
  Soil.Clock.sleep 31.;
  accepts "recovered" (check keys old_key);
  bool "no error" true (Jwks.last_error keys = None);
  List.iter
    (fun (what, break) ->
      issuer.published <- set [ old_key ];
      issuer.delay <- 0.1;
      break ();
      Soil.Clock.sleep 3601.;
      let before = issuer.requests in
      accepts (what ^ ": old keys stay") (check keys old_key);
      accepts (what ^ ": and no request each time") (check keys old_key);
      Soil.Clock.sleep 15.;
      requests issuer (before + 1);
      bool what true (Jwks.last_error keys <> None))
    [
      ("status", fun () -> issuer.status <- `Not_found);
      ( "not JSON",
        fun () ->
          issuer.status <- `OK;
          issuer.published <- "<html>" );
      ("too large", fun () -> issuer.published <- String.make 300_000 ' ');
      ("too slow", fun () -> issuer.delay <- 11.);
    ];
  Soil.Clock.sleep 90_000.;
  refuses "not for ever" (unavailable "no response in time") (check keys old_key)

let cache_control scope issuer client =
  let keys = create scope client in
  issuer.headers <- [ ("cache-control", "public, Max-Age=100") ];
  accepts "first" (check keys old_key);
  Soil.Clock.sleep 90.;
  accepts "fresh" (check keys old_key);
  requests issuer 1;
  issuer.headers <- [ ("cache-control", "max-age=0") ];
  Soil.Clock.sleep 20.;
  accepts "old" (check keys old_key);
  Soil.Clock.sleep 1.;
  accepts "at least min_interval" (check keys old_key);
  requests issuer 2;
  issuer.headers <- [ ("cache-control", "max-age=999999999") ];
  Soil.Clock.sleep 40.;
  accepts "old" (check keys old_key);
  Soil.Clock.sleep 3602.;
  accepts "at most max_age" (check keys old_key);
  Soil.Clock.sleep 1.;
  requests issuer 4

let malformed_first scope issuer client =
  let keys = create scope client in
  refuses "before any request" Too_large (Jwks.verify keys any (String.make 20_000 'a'));
  refuses "none" Algorithm (Jwks.verify keys any (url {|{"alg":"none"}|} ^ ".e30."));
  requests issuer 0;
  is_invalid "http" (fun () -> Jwks.create scope client uri)

let tests =
  List.map
    (fun (name, f) -> test name (with_issuer f))
    [
      ("keys are kept for max_age", kept);
      ("waiters share a request", shared);
      ("a cancelled task leaves the request to others", cancelled);
      ("unknown kids cause few requests", unknown);
      ("keys stay after failures", failures);
      ("stale keys count at once", stale);
      ("keys that are left out", left_out);
      ("Cache-Control", cache_control);
      ("malformed tokens cause no request", malformed_first);
    ]
