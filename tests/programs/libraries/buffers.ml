(* cstruct, bigstringaf, ocplib-endian, eqaf, optint, num, sha, asn1-combinators, kdf: bytes and
   numbers. *)

let line = Printf.printf
let hex s = Hex.show (Hex.of_string s)

let () =
  let frame = Cstruct.create 64 in
  Cstruct.BE.set_uint16 frame 12 0x86dd;
  Cstruct.LE.set_uint32 frame 20 0xdeadbeefl;
  Cstruct.blit_from_string "payload" 0 frame 30 7;
  let body = Cstruct.shift frame 30 in
  line "%d bytes, type %x, %s\n" (Cstruct.length body) (Cstruct.BE.get_uint16 frame 12)
    (Cstruct.to_string ~len:7 body);
  (match Cstruct.BE.get_uint64 frame 60 with
  | _ -> line "read beyond the end\n"
  | exception Invalid_argument _ -> line "cstruct: out of bounds\n");
  let big = Bigstringaf.of_string ~off:0 ~len:11 "hello there" in
  Bigstringaf.blit big ~src_off:0 big ~dst_off:6 ~len:5;
  line "%s, e at %d\n" (Bigstringaf.to_string big) (Bigstringaf.memchr big 0 'e' 11);
  Bigstringaf.set_int64_be big 0 0x0102030405060708L;
  line "%s\n" (hex (Bigstringaf.substring big ~off:0 ~len:8));
  let bytes = Bytes.make 16 '\000' in
  EndianBytes.LittleEndian.set_double bytes 0 1.5;
  EndianBytes.BigEndian.set_int32 bytes 8 (-2l);
  line "%s\n" (hex (Bytes.to_string bytes));
  line "%.1f %ld\n"
    (EndianBytes.LittleEndian.get_double bytes 0)
    (EndianBytes.BigEndian.get_int32 bytes 8)

let () =
  line "equal: %b %b\n" (Eqaf.equal "secret" "secret") (Eqaf.equal "secret" "secreT");
  line "order: %d\n" (compare (Eqaf.compare_be "\001\002" "\001\003") 0);
  let open Optint in
  line "%s\n" (to_string (add (of_string "2147483646") one));
  line "%s\n" (Int63.to_string (Int63.mul (Int63.of_int 3_000_000_000) (Int63.of_int 1_000_000)))

let () =
  let open Num in
  let rec factorial n = if n =/ Int 0 then Int 1 else n */ factorial (pred_num n) in
  let large = factorial (Int 40) in
  line "%s\n" (string_of_num large);
  line "%s\n" (string_of_num ((Int 1 // Int 3) +/ (Int 1 // Int 6)));
  line "%s\n" (approx_num_fix 30 (Int 2 // Int 7));
  line "as by GMP: %b\n" (String.equal (Z.to_string (Z.fac 40)) (string_of_num large))

let () =
  line "%s\n%s\n" Sha1.(to_hex (string "abc")) Sha256.(to_hex (string "abc"));
  let context = Sha512.init () in
  for _ = 1 to 100_000 do
    Sha512.update_string context "0123456789"
  done;
  line "%s\n" (String.sub Sha512.(to_hex (finalize context)) 0 32)

type person = { name : string; age : int; groups : string list }

let () =
  let open Asn in
  let grammar =
    S.(
      map
        (fun (name, age, groups) -> { name; age; groups = Option.value ~default:[] groups })
        (fun { name; age; groups } -> (name, age, if groups = [] then None else Some groups))
        (sequence3
           (required ~label:"name" utf8_string)
           (required ~label:"age" int)
           (optional ~label:"groups" (explicit 0 (sequence_of utf8_string)))))
  in
  let codec = codec der grammar in
  let person = { name = "Zoë"; age = 300; groups = [ "a"; "b" ] } in
  let coded = encode codec person in
  line "%s\n" (hex coded);
  (match decode codec coded with
  | Ok (back, rest) -> line "back: %b, %d left\n" (back = person) (String.length rest)
  | Error (`Parse reason) -> line "asn1: %s\n" reason);
  match decode codec (String.sub coded 0 8) with
  | Ok _ -> line "decoded a part\n"
  | Error (`Parse _) -> line "asn1: a part is an error\n"

let () =
  let key = Hkdf.extract ~hash:`SHA256 ~salt:"salt" "input" in
  line "%s\n" (hex (Hkdf.expand ~hash:`SHA256 ~prk:key ~info:"info" 24));
  line "%s\n"
    (hex (Pbkdf.pbkdf2 ~prf:`SHA256 ~password:"password" ~salt:"salt" ~count:1000 ~dk_len:20l));
  line "%s\n" (hex (Scrypt.scrypt ~password:"password" ~salt:"NaCl" ~n:1024 ~r:8 ~p:1 ~dk_len:16l))
