(* soil-mirage.crypto-rng: keys and certificates of x509, made from Soil's random numbers. *)

let printf = Printf.printf
let or_fail to_string = function Ok v -> v | Error e -> failwith (to_string e)
let message result = or_fail (fun (`Msg e) -> e) result

(* A name is a string up to x509 1.0, and later a value of x509's own module of this name. *)
module Common_name = struct
  let[@warning "-32"] v text = text
end

let name text =
  X509.Distinguished_name.[ Relative_distinguished_name.singleton (CN (Common_name.v text)) ]

let span days = Ptime.Span.of_int_s (days * 86_400)

let sign ~now ~issuer ~key ~extensions request =
  let valid_until = Option.get (Ptime.add_span now (span 30)) in
  X509.Signing_request.sign request
    ~valid_from:(Option.get (Ptime.sub_span now (span 1)))
    ~valid_until ~extensions key issuer
  |> or_fail (Fmt.to_to_string X509.Validation.pp_signature_error)

let () =
  Soil.run @@ fun () ->
  Soil_mirage_crypto_rng.use_default ();
  let now = Option.get (Ptime.of_float_s (Float.floor (Soil.Clock.now ()))) in
  let authority = name "an authority"
  and host = Domain_name.(host_exn (of_string_exn "soil.test")) in
  let authority_key = X509.Private_key.generate `P256 in
  let own = message (X509.Signing_request.create authority authority_key) in
  let extensions =
    X509.Extension.(singleton Basic_constraints (true, (true, None)))
    |> X509.Extension.add Key_usage (true, [ `Key_cert_sign ])
  in
  let root = sign ~now ~issuer:authority ~key:authority_key ~extensions own in
  let key = X509.Private_key.generate `ED25519 in
  let request = message (X509.Signing_request.create (name "soil.test") key) in
  let names = X509.General_name.(singleton DNS [ "soil.test" ]) in
  let extensions = X509.Extension.(singleton Subject_alt_name (false, names)) in
  let leaf = sign ~now ~issuer:authority ~key:authority_key ~extensions request in
  (* As a peer gets them. *)
  let pem = X509.Certificate.encode_pem leaf in
  let received = message (X509.Certificate.decode_pem pem) in
  let verify ~at host =
    let time () = Some at in
    let chain = X509.Validation.verify_chain_of_trust ~host:(Some host) ~time ~anchors:[ root ] in
    match chain [ received ] with
    | Ok _ -> "valid"
    | Error (`LeafCertificateExpired _) -> "expired"
    | Error (`LeafInvalidName _) -> "of another name"
    | Error e -> Fmt.str "%a" X509.Validation.pp_validation_error e
  in
  printf "now: %s\n" (verify ~at:now host);
  let later = Option.get (Ptime.add_span now (span 31)) in
  printf "in a month: %s\n" (verify ~at:later host);
  printf "another name: %s\n" (verify ~at:now Domain_name.(host_exn (of_string_exn "other.test")));
  let signature =
    message (X509.Private_key.sign `SHA256 ~scheme:`ECDSA authority_key (`Message "text"))
  in
  let verified text =
    X509.Public_key.verify `SHA256 ~scheme:`ECDSA ~signature
      (X509.Private_key.public authority_key)
      (`Message text)
  in
  printf "signed: %b, changed: %b\n"
    (Result.is_ok (verified "text"))
    (Result.is_ok (verified "test"));
  (* RSA, as small as it may be: primes are looked for. *)
  let rsa = Mirage_crypto_pk.Rsa.generate ~bits:512 () in
  printf "RSA: %d bits, p times q: %b\n"
    (Mirage_crypto_pk.Rsa.priv_bits rsa)
    (Z.equal rsa.n (Z.mul rsa.p rsa.q));
  let keys =
    List.init 8 (fun _ -> X509.Private_key.encode_pem (X509.Private_key.generate `ED25519))
  in
  printf "different keys: %d\n" (List.length (List.sort_uniq compare keys))
