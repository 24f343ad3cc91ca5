(** JSON Web Tokens ({{:https://www.rfc-editor.org/rfc/rfc7519}RFC 7519}), with the practices of
    {{:https://www.rfc-editor.org/rfc/rfc8725}RFC 8725}: HS256, RS256, ES256 and EdDSA, on
    mirage-crypto.

    {[
      let signer = Soil_jwt.Signer.hs256 (read_key "session.key")
      let policy = Soil_jwt.policy ~issuer:"https://example.com" ~audience:"api" ()

      let log_in user =
        Soil_jwt.sign signer ~issuer:"https://example.com" ~audience:"api" ~subject:user
          ~lifetime:3600. []

      let user token =
        match Soil_jwt.verify policy [ Soil_jwt.Signer.key signer ] token with
        | Ok claims -> claims.subject
        | Error _ -> None
    ]}

    The server's keys fix the algorithm; a token can neither choose it nor bring a key. All that a
    token has is bounded before it is parsed. A token can't be revoked before it expires: for
    sessions that can, see [Soil_http.Session]. Encrypted tokens (JWE) aren't supported. *)

module Problem = Problem
module Key = Key
module Signer = Signer
module Jws = Jws
module Jwk = Jwk
module Jwks = Jwks
include Token
