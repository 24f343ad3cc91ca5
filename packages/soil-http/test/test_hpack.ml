(* Field compression: RFC 7541's examples, blocks that it forbids, and limits. *)
open Check

let block hex =
  let hex = String.concat "" (String.split_on_char ' ' hex) in
  Bytes.init
    (String.length hex / 2)
    (fun i -> Char.chr (int_of_string ("0x" ^ String.sub hex (2 * i) 2)))

let hex buffer =
  String.concat ""
    (List.map
       (fun c -> Printf.sprintf "%02x" (Char.code c))
       (List.of_seq (String.to_seq (Buffer.contents buffer))))

let fields = Alcotest.(check (list (pair string string)))
let fresh () = Hpack.decoder ~table_bytes:4096

let decode ?(max_bytes = 1 lsl 16) ?(max_fields = 1000) d bytes =
  Hpack.decode d bytes 0 (Bytes.length bytes) ~max_bytes ~max_fields

let decodes d text wanted = fields text wanted (decode d (block text))

let is_error ?(d = fresh ()) what text =
  match decode d (block text) with
  | _ -> Alcotest.fail (what ^ ": not an error")
  | exception Hpack.Error _ -> ()

(* The dynamic table, newest first. *)
let table what d entries =
  List.iteri
    (fun i entry -> fields what [ entry ] (decode d (Bytes.make 1 (Char.chr (0x80 + 62 + i)))))
    entries;
  is_error ~d what (Printf.sprintf "%x" (0x80 + 62 + List.length entries))

(* Appendix C.2 to C.6. *)

let single_fields () =
  let d = fresh () in
  decodes d "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572"
    [ ("custom-key", "custom-header") ];
  table "C.2.1" d [ ("custom-key", "custom-header") ];
  let d = fresh () in
  decodes d "040c 2f73 616d 706c 652f 7061 7468" [ (":path", "/sample/path") ];
  decodes d "1008 7061 7373 776f 7264 0673 6563 7265 74" [ ("password", "secret") ];
  decodes d "82" [ (":method", "GET") ];
  table "C.2.2 to C.2.4" d []

let requests blocks () =
  let d = fresh () in
  let get = (":method", "GET") and authority = (":authority", "www.example.com") in
  let cache = ("cache-control", "no-cache") and custom = ("custom-key", "custom-value") in
  let wanted =
    [
      [ get; (":scheme", "http"); (":path", "/"); authority ];
      [ get; (":scheme", "http"); (":path", "/"); authority; cache ];
      [ get; (":scheme", "https"); (":path", "/index.html"); authority; custom ];
    ]
  in
  List.iter2 (decodes d) blocks wanted;
  table "entries" d [ custom; cache; authority ]

(* With a table of 256 bytes, from which entries are evicted. *)
let responses blocks () =
  let d = fresh () in
  decodes d "3fe1 01" [];
  let date s = ("date", "Mon, 21 Oct 2013 20:13:" ^ s ^ " GMT") in
  let location = ("location", "https://www.example.com") and cache = ("cache-control", "private") in
  let coding = ("content-encoding", "gzip") in
  let cookie = ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1") in
  let wanted =
    [
      [ (":status", "302"); cache; date "21"; location ];
      [ (":status", "307"); cache; date "21"; location ];
      [ (":status", "200"); cache; date "22"; location; coding; cookie ];
    ]
  in
  List.iter2 (decodes d) blocks wanted;
  table "entries" d [ cookie; coding; date "22" ]

let plain_requests =
  requests
    [
      "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d";
      "8286 84be 5808 6e6f 2d63 6163 6865";
      "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65";
    ]

let coded_requests =
  requests
    [
      "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff";
      "8286 84be 5886 a8eb 1064 9cbf";
      "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf";
    ]

let plain_responses =
  responses
    [
      "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a \
       3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d";
      "4803 3330 37c1 c0bf";
      "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 \
       677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 \
       553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31";
    ]

let coded_responses =
  responses
    [
      "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e \
       919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3";
      "4883 640e ffc1 c0bf";
      "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 \
       821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed \
       4ee5 b106 3d50 07";
    ]

(* Integers and strings *)

let integers () =
  (* C.1.1 and C.1.2 as sizes of the table: 10, and 1337, which an entry fits exactly. *)
  let d = fresh () in
  decodes d "2a" [];
  decodes d "4001 6101 62" [ ("a", "b") ];
  table "10 bytes" d [];
  decodes d "3f9a 0a" [];
  let entry n =
    let b = Buffer.create 2000 in
    Buffer.add_string b "\x40\x01a\x7f";
    let rest = n - 32 - 1 - 127 in
    Buffer.add_uint8 b (128 lor (rest land 127));
    Buffer.add_uint8 b (rest lsr 7);
    Buffer.add_string b (String.make (n - 33) 'v');
    Buffer.to_bytes b
  in
  let sizes = List.map (fun (n, v) -> String.length n + String.length v + 32) in
  Alcotest.(check (list int)) "decoded" [ 1338 ] (sizes (decode d (entry 1338)));
  table "too large" d [];
  Alcotest.(check (list int)) "decoded" [ 1337 ] (sizes (decode d (entry 1337)));
  table "fits" d [ ("a", String.make 1304 'v') ];
  is_error "index 0" "80";
  is_error "index beyond the table" "be";
  is_error "name beyond the table" "7e01 61";
  is_error "ends within an integer" "ff80";
  is_error "beyond any index" "ffff ffff 7f";
  is_error "a string beyond the block" "007f ffff ff7f 61";
  is_error "a string that the block ends" "0003 6161";
  is_error "no value" "0001 61";
  decodes (fresh ()) "3f80 8080 00" [];
  is_error "five bytes after the first" "3f80 8080 8000"

(* A literal without a name whose value has the code [bits], the first bit first. *)
let coded bits =
  let bytes = (String.length bits + 7) / 8 in
  let bit i = if i < String.length bits then bits.[i] = '1' else true in
  let byte i =
    Char.chr
      (List.fold_left (fun n k -> (2 * n) + Bool.to_int (bit ((8 * i) + k))) 0 (List.init 8 Fun.id))
  in
  Bytes.of_string ("\000\000" ^ String.make 1 (Char.chr (128 + bytes)) ^ String.init bytes byte)

let bits code length =
  String.init length (fun i -> if (code lsr (length - 1 - i)) land 1 = 1 then '1' else '0')

(* Appendix B: the first and the last symbol of each length. *)
let codes =
  [
    (48, 0x0, 5); (116, 0x9, 5); (32, 0x14, 6); (117, 0x2d, 6);
    (58, 0x5c, 7); (122, 0x7b, 7); (38, 0xf8, 8); (90, 0xfd, 8);
    (33, 0x3f8, 10); (63, 0x3fc, 10); (39, 0x7fa, 11); (124, 0x7fc, 11);
    (35, 0xffa, 12); (62, 0xffb, 12); (0, 0x1ff8, 13); (126, 0x1ffd, 13);
    (94, 0x3ffc, 14); (125, 0x3ffd, 14); (60, 0x7ffc, 15); (123, 0x7ffe, 15);
    (92, 0x7fff0, 19); (208, 0x7fff2, 19); (128, 0xfffe6, 20); (226, 0xfffed, 20);
    (153, 0x1fffdc, 21); (230, 0x1fffe8, 21); (129, 0x3fffd2, 22); (233, 0x3fffeb, 22);
    (1, 0x7fffd8, 23); (239, 0x7ffff4, 23); (9, 0xffffea, 24); (237, 0xfffff5, 24);
    (199, 0x1ffffec, 25); (235, 0x1ffffef, 25); (192, 0x3ffffe0, 26); (255, 0x3ffffee, 26);
    (203, 0x7ffffde, 27); (254, 0x7fffff0, 27); (2, 0xfffffe2, 28); (249, 0xffffffe, 28);
    (10, 0x3ffffffc, 30); (22, 0x3ffffffe, 30);
  ]
[@@ocamlformat "disable"]

let huffman () =
  List.iter
    (fun (symbol, code, length) ->
      let s = String.make 1 (Char.chr symbol) in
      fields (string_of_int symbol) [ ("", s) ] (decode (fresh ()) (coded (bits code length)));
      fields "between others"
        [ ("", "0" ^ s ^ s ^ "z") ]
        (decode (fresh ()) (coded ("00000" ^ bits code length ^ bits code length ^ "1111011"))))
    codes;
  let is_error what s =
    match decode (fresh ()) (coded s) with
    | _ -> Alcotest.fail (what ^ ": not an error")
    | exception Hpack.Error _ -> ()
  in
  fields "empty" [ ("", "") ] (decode (fresh ()) (coded ""));
  is_error "padding of 8 bits" "11111111";
  is_error "padding of 11 bits" "0000011111111111";
  is_error "padding with a zero" "00000110";
  is_error "end of string" (String.make 30 '1');
  is_error "end of string between others" ("00000" ^ String.make 30 '1' ^ "00000")

(* Sizes of the table *)

let table_sizes () =
  let d = fresh () in
  decodes d "4001 6101 62 4001 6101 63" [ ("a", "b"); ("a", "c") ];
  (* To 34, which is one entry, and back. *)
  decodes d "3f03 3fe1 1f" [];
  table "evicted" d [ ("a", "c") ];
  is_error "beyond the setting" "3fe2 1f";
  is_error "three" "2020 20";
  is_error "after a field" "8220 0161 0162";
  let d = Hpack.decoder ~table_bytes:8192 in
  decodes d "3fe1 3f" [];
  is_error ~d "beyond a larger setting" "3fe2 3f"

(* Limits *)

let is_too_large what d ?max_bytes ?max_fields bytes =
  match decode ?max_bytes ?max_fields d bytes with
  | _ -> Alcotest.fail (what ^ ": within the limits")
  | exception Hpack.Too_large -> ()

let limits () =
  let d = fresh () in
  let two = block "0001 6101 62 0001 6101 62" in
  int "within" 2 (List.length (decode d two ~max_bytes:68 ~max_fields:2));
  is_too_large "bytes" d two ~max_bytes:67;
  is_too_large "fields" d two ~max_fields:1;
  (* What follows the limit enters the table; fields that would fit again aren't kept. *)
  is_too_large "one after another" d (block "4001 6103 626262 4001 6101 64") ~max_bytes:35;
  table "right" d [ ("a", "d"); ("a", "bbb") ];
  (* A coded string counts what it is decoded. *)
  is_too_large "coded" d (block "0000 8500 0000 0000") ~max_bytes:39;
  is_error ~d "an error beyond the limit" "4001 6101 62 be 00";
  match decode d (block "8282 be00") ~max_fields:1 with
  | _ -> Alcotest.fail "not an error"
  | exception Hpack.Error _ -> ()

let allocated f =
  let before = Gc.minor_words () +. (Gc.quick_stat ()).major_words in
  f ();
  let words = Gc.minor_words () +. (Gc.quick_stat ()).major_words -. before in
  int_of_float words * 8

(* CVE-2026-49975: one large entry, thousands of times, or one short field as often. *)
let bombs () =
  let d = fresh () in
  let large = Bytes.of_string ("\x40\x01a\x7f\xd1\x1d" ^ String.make 3920 'v') in
  int "large" 1 (List.length (decode d large));
  let bomb = Bytes.make 65536 '\xbe' in
  let bytes =
    allocated (fun () -> is_too_large "a large entry" d bomb ~max_bytes:65536 ~max_fields:200)
  in
  if bytes > 8192 then Alcotest.failf "a large entry takes %d bytes" bytes;
  let crumbs = Bytes.of_string (String.concat "" (List.init 20000 (fun _ -> "\x0f\x11\x00"))) in
  is_too_large "crumbs" d crumbs ~max_bytes:(1 lsl 20) ~max_fields:100;
  (* A string of 256 MiB in a block of 6 bytes. *)
  is_error ~d "a length" "007f ffff ff7f"

(* Encoding *)

let encodes e fields wanted =
  let out = Buffer.create 64 in
  Hpack.encode e out fields;
  string "block" (String.concat "" (String.split_on_char ' ' wanted)) (hex out)

let encoder () =
  let e = Hpack.encoder () in
  encodes e [ (":status", "200"); ("server", "s") ] "880f270173";
  encodes e [ (":status", "200"); ("server", "s") ] "88760173";
  encodes e [ (":status", "200"); ("server", "s") ] "88be";
  encodes e [ (":status", "418"); ("x", "\xff") ] "0803343138 000178 01ff";
  (* Never in a table: credentials and cookies. *)
  for _ = 1 to 3 do
    encodes e
      [ ("authorization", "a"); ("cookie", "b"); ("set-cookie", "c"); ("proxy-authorization", "d") ]
      "1f080161 1f110162 1f280163 1f220164"
  done
[@@ocamlformat "disable"]

let encoder_sizes () =
  let e = Hpack.encoder () in
  let field = ("server", "s") in
  Hpack.set_table_size e 65536;
  encodes e [ field ] "0f270173";
  encodes e [ field ] "760173";
  Hpack.set_table_size e 0;
  encodes e [ field ] "200f270173";
  encodes e [ field ] "0f270173";
  Hpack.set_table_size e 100;
  Hpack.set_table_size e 50;
  Hpack.set_table_size e 4096;
  encodes e [ field ] "3f133fe11f760173";
  encodes e [ field ] "be"

(* Properties *)

let names = [ ":status"; ":path"; "server"; "date"; "x-request-id"; "cookie"; "a"; "" ]

let field =
  let open QCheck2.Gen in
  pair (oneofl names)
    (oneof
       [
         oneofl [ "200"; "/"; "a"; "" ];
         string_size (int_bound 20);
         string_size ~gen:printable (int_bound 300);
         map (fun n -> String.make n 'x') (int_bound 5000);
       ])

(* Blocks in a row, before each of which the peer may change its setting. *)
let round_trip =
  let step =
    QCheck2.Gen.(pair (list_size (int_bound 3) (int_bound 6000)) (list_size (int_bound 12) field))
  in
  property "blocks come back" ~count:500
    QCheck2.Gen.(list_size (int_bound 20) step)
    (fun steps ->
      let e = Hpack.encoder () and d = fresh () in
      List.for_all
        (fun (sizes, fields) ->
          List.iter (Hpack.set_table_size e) sizes;
          let out = Buffer.create 100 in
          Hpack.encode e out fields;
          decode d (Buffer.to_bytes out) ~max_bytes:max_int = fields)
        steps)

let size fields =
  List.fold_left (fun n (name, value) -> n + String.length name + String.length value + 32) 0 fields

(* Random blocks, and blocks of which a byte differs, have fields within the limits or an error. *)
let safe =
  let open QCheck2.Gen in
  let encoded =
    map2
      (fun fields (at, byte) ->
        let e = Hpack.encoder () and out = Buffer.create 100 in
        for _ = 1 to 3 do
          Hpack.encode e out fields
        done;
        let block = Buffer.to_bytes out in
        if Bytes.length block > 0 then Bytes.set block (at mod Bytes.length block) byte;
        block)
      (list_size (int_bound 10) field)
      (pair nat char)
  in
  let block = oneof [ map Bytes.of_string (string_size (int_bound 100)); encoded ] in
  property "any bytes" ~count:5000
    (list_size (int_range 1 5) block)
    (fun blocks ->
      let d = fresh () in
      List.for_all
        (fun block ->
          match decode d block ~max_bytes:1000 ~max_fields:5 with
          | fields -> List.length fields <= 5 && size fields <= 1000
          | exception (Hpack.Error _ | Hpack.Too_large) -> true)
        blocks)

(* Blocks of which only the table is kept *)

let integer ~prefix pattern n =
  let b = Buffer.create 4 and max = (1 lsl prefix) - 1 in
  let rec rest n =
    if n < 128 then Buffer.add_uint8 b n
    else (
      Buffer.add_uint8 b (128 lor (n land 127));
      rest (n lsr 7))
  in
  if n < max then Buffer.add_uint8 b (pattern lor n)
  else (
    Buffer.add_uint8 b (pattern lor max);
    rest (n - max));
  Buffer.contents b

(* So many times [a], in Huffman code by eights. *)
let text ~is_coded n =
  if is_coded then
    let eights = n / 8 in
    integer ~prefix:7 0x80 (5 * eights)
    ^ String.concat "" (List.init eights (fun _ -> "\x18\xc6\x31\x8c\x63"))
  else integer ~prefix:7 0 n ^ String.make n 'a'

let any_field =
  let open QCheck2.Gen in
  let length = oneofl [ 0; 3; 16; 200; 1000; 3000; 4063; 4064; 5000; 20_000; 70_000 ] in
  let text = map2 (fun is_coded n -> text ~is_coded n) bool length in
  let name prefix pattern =
    oneof
      [
        map (integer ~prefix pattern) (int_range 1 66);
        map (fun name -> integer ~prefix pattern 0 ^ name) text;
      ]
  in
  let literal prefix pattern = map2 ( ^ ) (name prefix pattern) text in
  oneof
    [ map (integer ~prefix:7 0x80) (int_range 1 66); literal 6 0x40; literal 6 0x40; literal 4 0; literal 4 0x10 ]
[@@ocamlformat "disable"]

let any_block =
  let open QCheck2.Gen in
  let sizes = list_size (int_bound 2) (map (integer ~prefix:5 0x20) (int_bound 4096)) in
  map2 (fun sizes fields -> String.concat "" (sizes @ fields)) sizes (list_size (int_bound 6) any_field)
[@@ocamlformat "disable"]

let skip d block ~piece =
  let s = Hpack.skipping () and n = String.length block in
  let rec go rest at =
    let taken = min piece (n - at) in
    let b = Bytes.of_string (rest ^ String.sub block at taken) in
    let used = Hpack.skip d s b 0 (Bytes.length b) in
    let rest = Bytes.sub_string b used (Bytes.length b - used) in
    bool "little is kept" true (String.length rest <= (8 * 4096) + 16);
    if at + taken < n then go rest (at + taken) else Hpack.end_of_skip s ~rest:(String.length rest)
  in
  go "" 0

let rec entries d i =
  let index = Bytes.of_string (integer ~prefix:7 0x80 (62 + i)) in
  match decode d index with found -> found @ entries d (i + 1) | exception Hpack.Error _ -> []

(* Whatever the pieces are, the table is that of a decoder that keeps all. *)
let skipped =
  let open QCheck2.Gen in
  let step = pair any_block (oneofl [ 0; 0; 1; 61; 1000; 16384 ]) in
  property "blocks that are skipped" ~count:500
    (list_size (int_range 1 6) step)
    (fun steps ->
      let whole = fresh () and other = fresh () in
      let both f g =
        let raises f = match f () with () -> false | exception Hpack.Error _ -> true in
        let fails = raises f in
        if fails <> raises g then QCheck2.Test.fail_report "an error of one only";
        not fails
      in
      let one (block, piece) =
        let bytes = Bytes.of_string block in
        let decode d () = ignore (decode d bytes ~max_bytes:max_int) in
        let piece = if String.length block > 2000 then max 61 piece else piece in
        let skip () = if piece = 0 then decode other () else skip other block ~piece in
        both (decode whole) skip && entries whole 0 = entries other 0
      in
      (* After an error there is no connection. *)
      let rec go = function
        | [] -> true
        | (block, piece) :: rest ->
            if one (block, piece) then go rest
            else
              let same = entries whole 0 = entries other 0 in
              same || QCheck2.Test.fail_report "another table"
      in
      go steps)

let skipped_errors () =
  let is_error what hex =
    match skip (fresh ()) (Bytes.to_string (block hex)) ~piece:1 with
    | () -> Alcotest.fail (what ^ ": not an error")
    | exception Hpack.Error _ -> ()
  in
  is_error "index 0" "80";
  is_error "index beyond the table" "be";
  is_error "ends within an integer" "ff80";
  is_error "ends within a name" "0003 6161";
  is_error "ends within a long name" "007f ffff ff7f 61";
  is_error "no value" "0001 61";
  is_error "no value of a long name" ("007f 81ff 00" ^ String.concat "" (List.init 32640 (fun _ -> "61")));
  is_error "ends within a value" "0001 6103 61";
  is_error "five bytes after the first" "3f80 8080 8000";
  is_error "three sizes" "2020 20";
  is_error "a size after a field" "8220";
  is_error "a size beyond the setting" "3fe2 1f";
  is_error "padding of a code in the table" "4001 6181 ff"
[@@ocamlformat "disable"]

let tests =
  [
    test "single fields" single_fields;
    test "requests" plain_requests;
    test "requests in Huffman code" coded_requests;
    test "responses" plain_responses;
    test "responses in Huffman code" coded_responses;
    test "integers" integers;
    test "Huffman code" huffman;
    test "sizes of the table" table_sizes;
    test "limits" limits;
    test "bombs" bombs;
    test "encoder" encoder;
    test "encoder's table" encoder_sizes;
    round_trip;
    skipped;
    test "errors in blocks that are skipped" skipped_errors;
    safe;
  ]
