let alphabet = Base64.uri_safe_alphabet
let encode s = Base64.encode_string ~pad:false ~alphabet s

(* The library accepts unused bits that aren't zero. *)
let decode s =
  match Base64.decode ~pad:false ~alphabet s with
  | Ok bytes when String.equal (encode bytes) s -> Some bytes
  | Ok _ | Error (`Msg _) -> None
