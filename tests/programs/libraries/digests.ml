(* digestif: hash functions in C. *)
let () =
  let text = String.concat "" (List.init 10_000 string_of_int) in
  print_endline Digestif.SHA256.(to_hex (digest_string text));
  print_endline Digestif.SHA512.(to_hex (digest_string text));
  print_endline Digestif.BLAKE2B.(to_hex (digest_string text));
  print_endline Digestif.MD5.(to_hex (hmac_string ~key:"soil" text))
