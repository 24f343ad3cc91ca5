let alphabet = Base64.uri_safe_alphabet
let encode s = Base64.encode_string ~pad:false ~alphabet s

let without_padding s =
  let n = String.length s in
  if n = 0 || n mod 4 <> 0 || s.[n - 1] <> '=' then s
  else String.sub s 0 (if s.[n - 2] = '=' then n - 2 else n - 1)

(* The library accepts unused bits that aren't zero. *)
let decode s =
  match Base64.decode ~pad:false ~alphabet s with
  | Ok bytes when String.equal (encode bytes) s -> Some bytes
  | Ok _ | Error (`Msg _) -> None
