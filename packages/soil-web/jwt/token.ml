let ( let* ) = Result.bind

type claims = {
  issuer : string option;
  subject : string option;
  audience : string list;
  expires : float option;
  not_before : float option;
  issued : float option;
  id : string option;
  all : (string * Yojson.Safe.t) list;
}

type policy = {
  issuer : string option;
  audience : string option;
  typ : string option;
  leeway : float;
  require_expiry : bool;
  max_bytes : int;
}

let policy ?issuer ?audience ?typ ?(leeway = 60.) ?(require_expiry = true)
    ?(max_bytes = Jws.default_max_bytes) () =
  if not (leeway >= 0. && leeway <= 3600.) then
    invalid_arg "Soil_jwt.policy: leeway isn't between 0 and 3600 seconds";
  let typ = Option.map String.lowercase_ascii typ in
  { issuer; audience; typ; leeway; require_expiry; max_bytes }

let has_type policy jws =
  match (policy.typ, Jws.typ jws) with
  | None, (None | Some "jwt") -> true
  | None, Some _ | Some _, None -> false
  | Some expected, Some typ -> String.equal expected typ

let parse policy token =
  let* jws = Jws.of_string ~max_bytes:policy.max_bytes token in
  if has_type policy jws then Ok jws else Error Problem.Type

(* Claims *)

let malformed reason = Error (Problem.Malformed ("claims: " ^ reason))

let string o name =
  Result.map_error (fun reason -> Problem.Malformed ("claims: " ^ reason)) (Json.string o name)

(* RFC 7519 §2, NumericDate. *)
let date o name =
  match List.assoc_opt name o with
  | None -> Ok None
  | Some ((`Int _ | `Intlit _ | `Float _) as number) ->
      let seconds =
        match number with
        | `Int n -> float_of_int n
        (* Java and PHP write "never" as their largest integer. *)
        | `Intlit digits -> float_of_string digits
        | `Float f -> f
      in
      if Float.is_finite seconds then Ok (Some seconds) else malformed (name ^ " isn't a date")
  | Some _ -> malformed (name ^ " isn't a date")

let audience o =
  let is_string = function `String _ -> true | _ -> false in
  match List.assoc_opt "aud" o with
  | None -> Ok []
  | Some (`String s) -> Ok [ s ]
  | Some (`List l) when List.for_all is_string l ->
      Ok (List.filter_map (function `String s -> Some s | _ -> None) l)
  | Some _ -> malformed "aud isn't a string or a list of strings"

let max_values = 2000

let claims payload =
  match Json.parse ~max_values payload with
  | Error reason -> malformed reason
  | Ok all ->
      let* issuer = string all "iss" in
      let* subject = string all "sub" in
      let* audience = audience all in
      let* expires = date all "exp" in
      let* not_before = date all "nbf" in
      let* issued = date all "iat" in
      let* id = string all "jti" in
      Ok { issuer; subject; audience; expires; not_before; issued; id; all }

let is_after moment = function None -> false | Some date -> date > moment

let check_times policy (c : claims) =
  let now = Soil.Clock.now () in
  match c.expires with
  | None when policy.require_expiry -> Error (Problem.Missing "exp")
  | Some moment when now -. policy.leeway >= moment -> Error Problem.Expired
  | None | Some _ ->
      let latest = now +. policy.leeway in
      if is_after latest c.not_before then Error Problem.Not_yet_valid
      else if is_after latest c.issued then Error Problem.Issued_in_future
      else Ok ()

let check_issuer policy (c : claims) =
  match (policy.issuer, c.issuer) with
  | None, _ -> Ok ()
  | Some _, None -> Error (Problem.Missing "iss")
  | Some expected, Some issuer ->
      if String.equal expected issuer then Ok () else Error Problem.Issuer

let check_audience policy (c : claims) =
  match (policy.audience, List.mem_assoc "aud" c.all) with
  | None, false -> Ok ()
  | None, true -> Error Problem.Audience
  | Some _, false -> Error (Problem.Missing "aud")
  | Some expected, true -> if List.mem expected c.audience then Ok () else Error Problem.Audience

let check policy payload =
  let* claims = claims payload in
  let* () = check_times policy claims in
  let* () = check_issuer policy claims in
  let* () = check_audience policy claims in
  Ok claims

let verify policy keys token =
  let* jws = parse policy token in
  let* payload = Jws.verify keys jws in
  check policy payload

(* Signing *)

let registered = [ "iss"; "sub"; "aud"; "jti"; "iat"; "exp" ]

let rec is_finite : Yojson.Safe.t -> bool = function
  | `Float f -> Float.is_finite f
  | `List l -> List.for_all is_finite l
  | `Assoc l -> List.for_all (fun (_, v) -> is_finite v) l
  | _ -> true

let check_own claims =
  let names = List.map fst claims in
  if List.exists (fun name -> List.mem name registered) names then
    invalid_arg "Soil_jwt.sign: a registered claim among the others; use its argument";
  if List.compare_lengths (List.sort_uniq String.compare names) names < 0 then
    invalid_arg "Soil_jwt.sign: a claim twice";
  if not (is_finite (`Assoc claims)) then invalid_arg "Soil_jwt.sign: a number isn't finite"

let sign ?(typ = "JWT") ?issuer ?subject ?audience ?id ~lifetime signer claims =
  check_own claims;
  if not (lifetime >= 0. && lifetime <= 1e12) then
    invalid_arg "Soil_jwt.sign: lifetime is out of range";
  let now = Soil.Clock.now () in
  let optional name = Option.map (fun s -> (name, `String s)) in
  let strings =
    [ optional "iss" issuer; optional "sub" subject; optional "aud" audience; optional "jti" id ]
  in
  let times =
    [ ("iat", `Int (int_of_float now)); ("exp", `Int (int_of_float (ceil (now +. lifetime)))) ]
  in
  let all = List.filter_map Fun.id strings @ times @ claims in
  Jws.sign ~typ signer (Yojson.Safe.to_string (`Assoc all))
