(* Claims and time: in virtual time, that stands still at [now]. *)

open Check
open Soil_jwt
open Tokens

let now = 1_700_000_000
let keys = [ Key.hs256 secret ]
let in_time f () = Soil.Virtual_clock.run ~now:(float_of_int now) f

let check ?header policy what expected payload =
  let header = Option.value header ~default:{|{"alg":"HS256"}|} in
  let r = verify policy keys (raw header payload) in
  match expected with None -> accepts what r | Some p -> refuses what p r

let times () =
  let exp = Printf.sprintf {|{"exp":%d}|} in
  check (policy ()) "exp in a second" None (exp (now + 1));
  check (policy ()) "within the leeway" None (exp (now - 59));
  check (policy ()) "at its end" (Some Expired) (exp (now - 60));
  check (policy ~leeway:0. ()) "no leeway" (Some Expired) (exp now);
  check (policy ~leeway:0. ()) "a fraction" None (Printf.sprintf {|{"exp":%d.5}|} now);
  check (policy ()) "0" (Some Expired) (exp 0);
  check (policy ()) "before 1970" (Some Expired) (exp (-1));
  check (policy ()) "none" (Some (Missing "exp")) "{}";
  check any "none, permitted" None "{}";
  check any "expired all the same" (Some Expired) (exp (now - 100));
  check any "nbf within the leeway" None (Printf.sprintf {|{"nbf":%d}|} (now + 60));
  check any "nbf" (Some Not_yet_valid) (Printf.sprintf {|{"nbf":%d}|} (now + 61));
  check any "iat within the leeway" None (Printf.sprintf {|{"iat":%d}|} (now + 60));
  check any "iat" (Some Issued_in_future) (Printf.sprintf {|{"iat":%d}|} (now + 61));
  let beyond_int = [ "4611686018427387904"; "9223372036854775807"; "1e26"; String.make 300 '9' ] in
  List.iter (fun n -> check (policy ()) n None (Printf.sprintf {|{"exp":%s}|} n)) beyond_int;
  check (policy ()) "long ago" (Some Expired) {|{"exp":-4611686018427387905}|};
  check any "nbf beyond int" (Some Not_yet_valid) {|{"nbf":4611686018427387904}|};
  check any "iat beyond int" (Some Issued_in_future) {|{"iat":4611686018427387904}|};
  let not_a_date = Problem.Malformed "claims: exp isn't a date" in
  check any "beyond float" (Some not_a_date) (Printf.sprintf {|{"exp":%s}|} (String.make 400 '9'));
  check any "a text" (Some not_a_date) {|{"exp":"4611686018427387904"}|};
  is_invalid "a leeway of days" (fun () -> policy ~leeway:1e6 ());
  is_invalid "no number" (fun () -> policy ~leeway:nan ())

let issuers () =
  let p = policy ~require_expiry:false in
  check (p ~issuer:"me" ()) "issuer" None {|{"iss":"me"}|};
  check (p ~issuer:"me" ()) "another" (Some Issuer) {|{"iss":"me "}|};
  check (p ~issuer:"me" ()) "none" (Some (Missing "iss")) "{}";
  check (p ~audience:"api" ()) "audience" None {|{"aud":"api"}|};
  check (p ~audience:"api" ()) "one of them" None {|{"aud":["x","api"]}|};
  check (p ~audience:"api" ()) "others" (Some Audience) {|{"aud":["x","API"]}|};
  check (p ~audience:"api" ()) "an empty list" (Some Audience) {|{"aud":[]}|};
  check (p ~audience:"api" ()) "no audience" (Some (Missing "aud")) "{}";
  check (p ()) "for another" (Some Audience) {|{"aud":"api"}|}

let types () =
  let typ s = Printf.sprintf {|{"alg":"HS256","typ":"%s"}|} s in
  let p = policy ~require_expiry:false in
  check (p ()) ~header:(typ "jwt") "JWT" None "{}";
  check (p ()) ~header:(typ "application/JWT") "the whole type" None "{}";
  check (p ()) ~header:(typ "at+jwt") "an access token" (Some Type) "{}";
  check (p ~typ:"at+jwt" ()) ~header:(typ "AT+JWT") "expected" None "{}";
  check (p ~typ:"at+jwt" ()) ~header:(typ "JWT") "another" (Some Type) "{}";
  check (p ~typ:"at+jwt" ()) "none" (Some Type) "{}"

let signs () =
  let signer = Signer.hs256 ~id:"k1" secret in
  let token = sign ~issuer:"i" ~subject:"s" ~audience:"a" ~id:"7" ~lifetime:0.5 signer [ ("x", `List [ `Int 1 ]) ] in
  let claims = verify (policy ~issuer:"i" ~audience:"a" ~leeway:0. ()) keys token in
  let c = get (Result.map_error Problem.to_string claims) in
  string "claims" {|{"iss":"i","sub":"s","aud":"a","jti":"7","iat":1700000000,"exp":1700000001,"x":[1]}|} (Yojson.Safe.to_string (`Assoc c.all));
  bool "typed" true (c.id = Some "7" && c.expires = Some 1700000001. && c.issued = Some 1700000000.);
  Soil.Clock.sleep 2.;
  refuses "later" Expired (verify (policy ~issuer:"i" ~audience:"a" ~leeway:0. ()) keys token);
  is_invalid "exp twice" (fun () -> sign ~lifetime:1. signer [ ("exp", `Int 1) ]);
  is_invalid "a name twice" (fun () -> sign ~lifetime:1. signer [ ("a", `Int 1); ("a", `Int 1) ]);
  is_invalid "not a number" (fun () -> sign ~lifetime:1. signer [ ("a", `List [ `Float nan ]) ]);
  is_invalid "lifetime" (fun () -> sign ~lifetime:(-1.) signer [])
[@@ocamlformat "disable"]

let tests =
  [
    test "times and leeway" (in_time times);
    test "issuer and audience" (in_time issuers);
    test "types of tokens" (in_time types);
    test "signing" (in_time signs);
  ]
