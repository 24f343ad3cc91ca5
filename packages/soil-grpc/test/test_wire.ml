(* Protocol Buffers' wire format. *)
open Check
module Wire = Soil_grpc.Wire

let fields = Wire.decode [] (fun l n v -> (n, v) :: l)

let add b (number, (value : Wire.value)) =
  match value with
  | Varint n -> Wire.int64 b number n
  | Fixed64 n -> Wire.fixed64 b number n
  | Fixed32 n -> Wire.fixed32 b number n
  | Bytes s -> Wire.message b number s

let gen =
  let open QCheck2.Gen in
  let number = oneof [ int_range 1 20; int_range 1 0x1fffffff ] in
  let is_default (_, (v : Wire.value)) = v = Varint 0L || v = Fixed64 0L || v = Fixed32 0l in
  let value =
    oneof
      [
        map (fun n -> Wire.Varint n) (oneof [ int64; map Int64.of_int small_signed_int ]);
        map (fun n -> Wire.Fixed64 n) int64;
        map (fun n -> Wire.Fixed32 n) int32;
        map (fun s -> Wire.Bytes s) (string_size (int_bound 300));
      ]
  in
  map (List.filter (fun f -> not (is_default f))) (list_size (int_bound 10) (pair number value))

let there_and_back l =
  let text = Wire.encode (fun b -> List.iter (add b) l) in
  fields text = Ok (List.rev l)

(* A part of a message is one only between two fields. *)
let prefixes l =
  let parts = List.map (fun f -> String.length (Wire.encode (fun b -> add b f))) l in
  let _, ends = List.fold_left (fun (at, l) n -> (at + n, (at + n) :: l)) (0, [ 0 ]) parts in
  let text = Wire.encode (fun b -> List.iter (add b) l) in
  let is_right n = Result.is_ok (fields (String.sub text 0 n)) = List.mem n ends in
  List.for_all is_right (List.init (String.length text + 1) Fun.id)

let any s = match fields s with Ok _ | Error _ -> true

let examples () =
  let is what expected f = string what expected (Wire.encode f) in
  is "150" "\x08\x96\x01" (fun b -> Wire.int b 1 150);
  is "-1" "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" (fun b -> Wire.int b 1 (-1));
  is "testing" "\x12\x07testing" (fun b -> Wire.string b 2 "testing");
  is "a large number" "\x82\x01\x00" (fun b -> Wire.message b 16 "");
  is "defaults" "" (fun b ->
      Wire.int b 1 0;
      Wire.bool b 2 false;
      Wire.string b 3 "";
      Wire.fixed32 b 4 0l;
      Wire.fixed64 b 5 0L);
  is "true" "\x08\x01" (fun b -> Wire.bool b 1 true);
  is "packed" "\x03\x8e\x02\x9e\xa7\x05" (fun b -> List.iter (Wire.varint b) [ 3; 270; 86942 ])

let packed () =
  let numbers = Wire.packed (fun l n -> n :: l) [] in
  bool "packed" true (numbers "\x03\x8e\x02\x9e\xa7\x05" = Ok [ 86942L; 270L; 3L ]);
  bool "its end" true (Result.is_error (numbers "\x03\x8e"))

let malformed () =
  let is what expected s =
    match fields s with
    | Ok _ -> Alcotest.fail (what ^ ": accepted")
    | Error reason -> string what expected reason
  in
  is "no value" "byte 1: the end in a number" "\x08";
  is "a long number" "byte 10: a number of more than 64 bits"
    "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02";
  is "length" "byte 2: a length beyond the end" "\x0a\x03ab";
  is "a length beyond int" "byte 11: a length beyond the end"
    "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
  is "four bytes" "byte 1: the end in a field" "\x0d\x00\x00\x00";
  is "eight" "byte 1: the end in a field" "\x09\x00\x00\x00\x00\x00\x00\x00";
  is "field 0" "byte 0: not the number of a field" "\x00\x00";
  is "field 2^29" "byte 0: not the number of a field" "\x80\x80\x80\x80\x10\x00";
  is "a group" "byte 1: a group" "\x0b\x0c";
  is "type 6" "byte 1: an unknown wire type" "\x0e"

let names_of_encodings () =
  let v name =
    ignore (Soil_grpc.Encoding.v name ~compress:Fun.id ~decompress:(fun ~max:_ s -> Ok s))
  in
  List.iter v [ "gzip"; "x-1"; "a" ];
  let refused name =
    match v name with
    | () -> Alcotest.failf "accepted: %S" name
    | exception Invalid_argument _ -> ()
  in
  List.iter refused [ ""; "identity"; "GZip"; "a,b"; "a b"; "a\r" ]

let tests =
  [
    test "examples of the specification" examples;
    test "packed numbers" packed;
    test "malformed messages" malformed;
    property "there and back" gen there_and_back;
    property "prefixes" gen prefixes;
    property ~count:2000 "any bytes" QCheck2.Gen.(string_size (int_bound 40)) any;
    test "names of encodings" names_of_encodings;
  ]
