(* cryptokit, zip, calendar and react: ciphers, compression, dates, signals. *)

let hex s = String.concat "" (List.map (fun c -> Printf.sprintf "%02x" (Char.code c)) s)
let hex s = hex (List.of_seq (String.to_seq s))

let () =
  let key = String.init 32 Char.chr and text = String.make 1000 'x' ^ "end" in
  let transform direction =
    Cryptokit.Cipher.aes ~mode:CBC ~pad:Cryptokit.Padding.length ~iv:(String.make 16 'i') key
      direction
  in
  let secret = Cryptokit.transform_string (transform Encrypt) text in
  Printf.printf "%d bytes, digest %s\n" (String.length secret)
    (hex (Cryptokit.hash_string (Cryptokit.Hash.sha256 ()) secret));
  Printf.printf "decrypted: %b\n" (Cryptokit.transform_string (transform Decrypt) secret = text);
  let random = Cryptokit.Random.pseudo_rng (String.make 40 'r') in
  let rsa = Cryptokit.RSA.new_key ~rng:random 1024 in
  let signed = Cryptokit.RSA.sign rsa "message" in
  let plain = Cryptokit.RSA.unwrap_signature rsa signed in
  Printf.printf "signature: %b\n" (String.ends_with ~suffix:"message" plain);
  let packed = Cryptokit.transform_string (Cryptokit.Zlib.compress ()) text in
  Printf.printf "%d bytes packed: %b\n" (String.length packed)
    (Cryptokit.transform_string (Cryptokit.Zlib.uncompress ()) packed = text)

let () =
  let b = Buffer.create 64 in
  let read = ref 0 in
  let text = String.concat "," (List.init 5000 string_of_int) in
  let fill bytes =
    let n = min (Bytes.length bytes) (String.length text - !read) in
    Bytes.blit_string text !read bytes 0 n;
    read := !read + n;
    n
  in
  Zlib.compress ~header:true fill (fun bytes n -> Buffer.add_subbytes b bytes 0 n);
  Printf.printf "%d of %d bytes, crc %lx\n" (Buffer.length b) (String.length text)
    (Zlib.update_crc_string 0l text 0 (String.length text));
  match Zlib.uncompress ~header:true (fun _ -> 0) (fun _ _ -> ()) with
  | () -> print_endline "unpacked nothing"
  | exception Zlib.Error (_, reason) -> print_endline ("zlib: " ^ reason)

let () =
  let open CalendarLib in
  let day = Date.make 2024 2 29 in
  let later = Date.add day (Date.Period.year 1) in
  print_endline (Printer.Date.sprint "%A, %d %B %Y, week %V" later);
  let zoned = Calendar.make 2026 11 30 23 59 59 in
  print_endline (Printer.Calendar.sprint "%FT%T" (Calendar.add zoned (Calendar.Period.second 1)));
  match Date.make 1582 10 10 with
  | _ -> print_endline "a date"
  | exception Date.Undefined -> print_endline "no such date"

let () =
  let open React in
  let celsius, set = S.create 20 in
  let warm = S.map (fun c -> c > 25) celsius in
  let changes = E.map (fun w -> Printf.printf "warm: %b\n" w) (S.changes warm) in
  List.iter set [ 22; 27; 30; 10 ];
  ignore (Sys.opaque_identity changes)
