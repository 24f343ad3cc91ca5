(* Messages there and back, what isn't one, and messages of other encoders. *)
open Soil_dns

let bool = Alcotest.(check bool)
let string = Alcotest.(check string)
let test name f = Alcotest.test_case name `Quick f

let property ?(count = 1000) name generator law =
  let cell = QCheck2.Test.make ~count ~name generator law in
  test name (fun () -> QCheck2.Test.check_exn cell)

let hex text =
  let digits = List.filter (fun s -> s <> "") (String.split_on_char ' ' text) in
  String.concat "" (List.map (fun d -> String.make 1 (Char.chr (int_of_string ("0x" ^ d)))) digits)

(* Names *)

let names () =
  let same text = string text (text ^ ".") (Name.to_string (Name.v text)) in
  List.iter same [ "a"; "www.example.org"; "_imap._tcp.example.org"; "a\\.b.c"; "\\000\\255.x" ];
  string "root" "." (Name.to_string (Name.v "."));
  bool "case" true (Name.equal (Name.v "WWW.Example") (Name.v "www.eXAMPLE."));
  string "kept" "WWW.Example." (Name.to_string (Name.v "WWW.Example"));
  bool "below" true (Name.is_below (Name.v "a.b.C") (Name.v "B.c"));
  bool "itself" true (Name.is_below (Name.v "b.c") (Name.v "b.c"));
  bool "beside" false (Name.is_below (Name.v "xb.c") (Name.v "b.c"));
  let wrong text = bool text true (Result.is_error (Name.of_string text)) in
  List.iter wrong [ ".."; "a..b"; ".a"; String.make 64 'a'; "\\256"; "a\\"; "a\\1"; "a\\12" ];
  let long n = String.concat "." (List.init n (fun _ -> "abcdefg")) in
  bool "255 bytes" true (Result.is_ok (Name.of_string (long 31 ^ ".abcde")));
  wrong (long 31 ^ ".abcdef")

let label = QCheck2.Gen.(string_size ~gen:char (int_range 1 20))
let small_label = QCheck2.Gen.(map (String.make 1) (oneofl [ 'a'; 'b'; 'A' ]))

let name =
  let open QCheck2.Gen in
  let labels = list_size (int_bound 5) (oneof [ label; small_label ]) in
  map (fun labels -> Result.get_ok (Name.of_labels labels)) labels

(* Messages *)

let data =
  let open QCheck2.Gen in
  let u16 = int_bound 65535 and u32 = map (fun n -> n land 0xffff_ffff) int in
  let octets n = map Soil.Net.Address.of_octets (string_size (pure n)) in
  let text = string_size (int_bound 255) in
  let soa =
    let* primary = name in
    let* mailbox = name in
    let* serial = u32 in
    let* refresh = u32 in
    let* retry = u32 in
    let* expire = u32 in
    let+ minimum = u32 in
    Soa { primary; mailbox; serial; refresh; retry; expire; minimum }
  in
  oneof
    [
      map (fun a -> A a) (octets 4);
      map (fun a -> Aaaa a) (octets 16);
      map (fun n -> Ns n) name;
      map (fun n -> Cname n) name;
      map (fun n -> Ptr n) name;
      map2 (fun p n -> Mx (p, n)) u16 name;
      map (fun l -> Txt l) (list_size (int_range 1 4) text);
      map3
        (fun priority (weight, port) target -> Srv { priority; weight; port; target })
        u16 (pair u16 u16) name;
      soa;
      map3 (fun flags tag value -> Caa { flags; tag; value }) (int_bound 255) text text;
      map2 (fun kind data -> Unknown (kind, data)) (int_range 60000 60100) text;
    ]

let a_record = QCheck2.Gen.(map3 record name (int_bound 0x7fff_ffff) data)

let message =
  let open QCheck2.Gen in
  let records = list_size (int_bound 6) a_record in
  let question = map2 (fun name kind -> { name; kind; class_ = internet }) name (int_bound 65535) in
  let edns =
    map3
      (fun udp_size dnssec_ok options -> { udp_size; version = 0; dnssec_ok; options })
      (int_range 512 65535) bool
      (list_size (int_bound 3) (pair (int_bound 65535) (string_size (int_bound 40))))
  in
  let* id = int_bound 65535 in
  let* flags = list_repeat 7 bool in
  let* opcode = int_bound 15 in
  let* rcode = int_bound 15 in
  let* questions = list_size (int_bound 2) question in
  let* answers = records in
  let* authority = records in
  let* additional = records in
  let+ edns = option edns in
  let flag n = List.nth flags n in
  {
    id;
    is_response = flag 0;
    opcode;
    authoritative = flag 1;
    truncated = flag 2;
    recursion_desired = flag 3;
    recursion_available = flag 4;
    authentic_data = flag 5;
    checking_disabled = flag 6;
    rcode;
    questions;
    answers;
    authority;
    additional;
    edns;
  }

(* A compressed name may have the case of an earlier one. *)
let lower name = Result.get_ok (Name.of_labels (List.map String.lowercase_ascii (Name.labels name)))

let lower_data = function
  | Ns n -> Ns (lower n)
  | Cname n -> Cname (lower n)
  | Ptr n -> Ptr (lower n)
  | Mx (p, n) -> Mx (p, lower n)
  | Srv s -> Srv { s with target = lower s.target }
  | Soa s -> Soa { s with primary = lower s.primary; mailbox = lower s.mailbox }
  | other -> other

let plain m =
  let records =
    List.map (fun (r : record) -> { r with name = lower r.name; data = lower_data r.data })
  in
  {
    m with
    questions = List.map (fun (q : question) -> { q with name = lower q.name }) m.questions;
    answers = records m.answers;
    authority = records m.authority;
    additional = records m.additional;
  }

let decoded text = match decode text with Ok m -> m | Error reason -> failwith reason
let there_and_back m = plain m = plain (decoded (encode m))

let rec is_prefix a b =
  match (a, b) with
  | [], _ -> true
  | x :: a, y :: b -> kind x.data = kind y.data && is_prefix a b
  | _ :: _, [] -> false

(* The largest part of the sections that fits, from the beginning. *)
let truncates (m, max) =
  match encode ~max m with
  | exception Invalid_argument _ -> true
  | text ->
      let found = decoded text in
      let lost l l' = List.length l' < List.length l in
      let cut = lost m.answers found.answers || lost m.authority found.authority in
      String.length text <= max
      && is_prefix found.answers m.answers
      && is_prefix found.authority m.authority
      && is_prefix found.additional m.additional
      && found.truncated = (m.truncated || cut)
      && found.edns = m.edns
      && ((not (lost m.answers found.answers)) || found.authority = [])
      && ((not cut) || found.additional = [])

let total text = match decode text with Ok _ | Error _ -> true

let mutated =
  let open QCheck2.Gen in
  let change text (at, c) =
    let b = Bytes.of_string text in
    Bytes.set b (at mod Bytes.length b) c;
    Bytes.to_string b
  in
  map2 (List.fold_left change) (map encode message) (list_size (int_range 1 5) (pair nat char))

(* What isn't a message *)

let header questions answers =
  Printf.sprintf "00 01 00 00 00 %02x 00 %02x 00 00 00 00 " questions answers

let malformed () =
  let wrong what text = bool what true (Result.is_error (decode (hex text))) in
  wrong "nothing" "";
  wrong "half a header" "00 01 00 00 00 00";
  wrong "no question" (header 1 0);
  wrong "a question without its class" (header 1 0 ^ "01 61 00 00 01");
  wrong "bytes behind it" (header 1 0 ^ "00 00 01 00 01 00");
  wrong "a pointer to itself" (header 1 0 ^ "c0 0c 00 01 00 01");
  wrong "a pointer forwards" (header 2 0 ^ "c0 12 00 01 00 01 01 61 00 00 01 00 01");
  wrong "a loop" (header 2 0 ^ "01 61 c0 0c 00 01 00 01 c0 0c 00 01 00 01");
  wrong "an unknown label" (header 1 0 ^ "41 61 00 00 01 00 01");
  wrong "a label beyond the end" (header 1 0 ^ "3f 61 61 61 61");
  wrong "an address of 3 bytes" (header 0 1 ^ "00 00 01 00 01 00 00 00 00 00 03 01 02 03");
  wrong "an address of 5 bytes" (header 0 1 ^ "00 00 01 00 01 00 00 00 00 00 05 01 02 03 04 05");
  wrong "data beyond the end" (header 0 1 ^ "00 00 01 00 01 00 00 00 00 00 ff 01 02 03 04");
  wrong "a string beyond its record" (header 0 1 ^ "00 00 10 00 01 00 00 00 00 00 02 05 61");
  wrong "TXT without a string" (header 0 1 ^ "00 00 10 00 01 00 00 00 00 00 00");
  wrong "OPT as an answer" (header 0 1 ^ "00 00 29 10 00 00 00 00 00 00 00");
  let many = hex "00 01 00 00 ff ff ff ff ff ff ff ff" ^ String.make 1000 '\000' in
  bool "missing records" true (Result.is_error (decode many))

(* Records whose names are pointers to pointers. *)
let chained count =
  let b = Buffer.create 1000 in
  Buffer.add_string b (hex "00 01 00 00 00 00");
  Buffer.add_uint16_be b count;
  Buffer.add_string b (hex "00 00 00 00 01 61 00 00 01 00 01 00 00 00 00 00 04 01 02 03 04");
  let last = ref 12 in
  for _ = 2 to count do
    let at = Buffer.length b in
    Buffer.add_uint16_be b (0xc000 lor !last);
    Buffer.add_string b (hex "00 01 00 01 00 00 00 00 00 04 01 02 03 04");
    last := at
  done;
  decode (Buffer.contents b)

let deep_pointers () =
  bool "127" true (Result.is_ok (chained 128));
  bool "128" true (chained 129 = Error "a name has too many pointers")

(* In the form in which BIND 9 answers. *)
let of_another_encoder () =
  let text =
    hex
      "12 34 85 80 00 01 00 02 00 00 00 01 03 77 77 77 07 65 78 61 6d 70 6c 65 03 6f 72 67 00 00 \
       01 00 01 c0 0c 00 05 00 01 00 00 0e 10 00 07 04 68 6f 73 74 c0 10 c0 2d 00 01 00 01 00 00 \
       0e 10 00 04 c0 00 02 07 00 00 29 04 d0 00 00 80 00 00 00"
  in
  let m = decoded text in
  bool "flags" true (m.is_response && m.authoritative && m.recursion_available);
  let host = Name.v "host.example.org" in
  (match m.answers with
  | [ { data = Cname target; ttl = 3600; _ }; { name; data = A address; _ } ] ->
      bool "alias" true (Name.equal target host && Name.equal name host);
      string "address" "192.0.2.7" (Soil.Net.Address.to_string address)
  | _ -> Alcotest.fail "other answers");
  bool "EDNS" true (m.edns = Some { udp_size = 1232; version = 0; dnssec_ok = true; options = [] });
  string "the same bytes" text (encode m)

let () =
  Alcotest.run "soil-dns"
    [
      ("names", [ test "names" names ]);
      ( "messages",
        [
          property "there and back" message there_and_back;
          property "truncation" QCheck2.Gen.(pair message (int_range 700 4000)) truncates;
          property ~count:5000 "mutated" mutated total;
          property ~count:5000 "random" QCheck2.Gen.(string_size (int_bound 100)) total;
          test "what isn't a message" malformed;
          test "pointers to pointers" deep_pointers;
          test "another encoder's" of_another_encoder;
        ] );
    ]
