type t =
  | Too_large
  | Malformed of string
  | Critical
  | Algorithm
  | Unknown_key
  | Unusable_key of string
  | Signature
  | Type
  | Missing of string
  | Expired
  | Not_yet_valid
  | Issued_in_future
  | Issuer
  | Audience
  | Unavailable of string

let to_string p =
  "token: "
  ^
  match p with
  | Too_large -> "more bytes than max_bytes"
  | Malformed reason -> "malformed: " ^ reason
  | Critical -> "crit names an extension; none is supported"
  | Algorithm -> "no key has its algorithm"
  | Unknown_key -> "no key has its kid; without a kid, at most 4 keys may fit"
  | Unusable_key reason -> "the issuer's key with its kid can't be used: " ^ reason
  | Signature -> "not signed by the key"
  | Type -> "typ isn't the expected one; pass the right ~typ to the policy"
  | Missing claim -> "no " ^ claim
  | Expired -> "expired"
  | Not_yet_valid -> "nbf is in the future; check both clocks"
  | Issued_in_future -> "iat is in the future; check both clocks"
  | Issuer -> "iss isn't the expected issuer"
  | Audience -> "aud isn't the expected audience"
  | Unavailable reason -> "the issuer's keys are unavailable: " ^ reason
