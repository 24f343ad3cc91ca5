(* Readers and writers. *)
open QCheck2.Gen
open Check
module D = Soil.File_descriptor
module R = Soil.Reader
module W = Soil.Writer

let ends what f = bool what true (match f () with _ -> false | exception End_of_file -> true)

let parsed () =
  let r = R.Text.of_string "GET /index.html 12\r\n\xff\x01rest" in
  bool "not this" false (R.Text.string r "POST");
  bool "nor this" false (R.Text.string r "GETTER");
  bool "this" true (R.Text.string r "GET");
  R.Text.skip_while r (( = ) ' ');
  string "a word" "/index.html" (R.Text.take_while r (( <> ) ' '));
  R.Text.skip r 1;
  string "digits" "12" (R.line r);
  int "a byte" 255 (R.BE.uint8 r);
  string "a byte" "\x01" (String.make 1 (R.char r));
  R.ensure r 4;
  int "buffered" 4 (R.buffered r);
  ends "too many" (fun () -> R.ensure r 5);
  ends "too many" (fun () -> R.Text.skip r 5);
  ends "too many ahead" (fun () -> R.Text.peek_string r 5);
  string "what is ahead" "rest" (R.Text.peek_string r 4);
  bool "not the end" false (R.at_end r);
  bool "longer than the rest" false (R.Text.string r "resting");
  string "the rest" "rest" (R.to_end r);
  bool "the end" true (R.at_end r);
  ends "a character" (fun () -> R.char r);
  string "no more" "" (R.Text.take_while r (fun _ -> true));
  bool "only the empty string" true (R.Text.string r "" && not (R.Text.string r "x"))

(* What is left after the number, of a reader whose pieces end anywhere. *)
let numbers_as_text () =
  let number (text, expected, rest) =
    let read what r =
      let found = R.Text.int r in
      bool (Printf.sprintf "%S %s" text what) true (found = expected);
      string text rest (R.to_end r)
    in
    read "at once" (R.Text.of_string text);
    let at = ref 0 in
    let byte b off len =
      let n = min (min 1 len) (String.length text - !at) in
      Bytes.blit_string text !at b off n;
      at := !at + n;
      n
    in
    read "in pieces" (R.create ~size:16 (Soil.Flow.source byte))
  in
  let largest = string_of_int max_int and smallest = string_of_int min_int in
  List.iter number
    [
      ("12\r\n", Some 12, "\r\n");
      ("-5 apples", Some (-5), " apples");
      ("007", Some 7, "");
      ("-0.5", Some 0, ".5");
      (largest, Some max_int, "");
      (smallest, Some min_int, "");
      (String.make 12 '0' ^ "1234567", Some 1234567, "");
      ("", None, "");
      ("-", None, "-");
      ("--1", None, "--1");
      ("+1", None, "+1");
      (" 1", None, " 1");
      ("x", None, "x");
      ("4611686018427387904", None, "4611686018427387904");
      ("-4611686018427387905", None, "-4611686018427387905");
      ("9223372036854775808", None, "9223372036854775808");
      ("9999999999999999999\n", None, "9999999999999999999\n");
      (String.make 20 '0', None, String.make 20 '0');
      (String.make 1000 '1', None, String.make 1000 '1');
    ]

(* A length that a peer announces takes no memory before the bytes have come. *)
let announced () =
  let r = R.create ~size:16 (Soil.Flow.of_string (String.init 100 Char.chr)) in
  R.ensure r 3;
  ends "far too many" (fun () -> R.take r (1 lsl 50));
  string "all are still there" (String.init 99 Char.chr) (R.take r 99);
  string "the last" "c" (R.take r 1);
  ends "no more" (fun () -> R.take r 17)

let sequences () =
  let r = R.Text.of_string "a\nb\r\n\nlast" in
  strings "lines" [ "a"; "b"; ""; "last" ] (List.of_seq (R.Text.lines r));
  strings "lines of nothing" [] (List.of_seq (R.Text.lines (R.Text.of_string "")));
  let r = R.Text.of_string "\000\001\000\002\000" in
  let rest = R.Text.seq r R.BE.uint16 in
  (match rest () with
  | Seq.Cons (n, rest) ->
      int "first" 1 n;
      (* It reads no further than it is consumed. *)
      int "left" 3 (R.buffered r);
      ends "half a number" (fun () -> List.of_seq rest)
  | Nil -> Alcotest.fail "nothing");
  string "which is still there" "\000" (R.to_end r)

let limits () =
  let reader () = R.create ~size:16 (Soil.Flow.of_string "aaaaaaaaaaaaaaaaaaaab") in
  let r = reader () in
  let is_a c = c = 'a' in
  fails_with "too long" Too_large (fun () -> R.Text.take_while ~max:19 r is_a);
  string "still there" (String.make 20 'a') (R.Text.take_while ~max:20 r is_a);
  int "not more" 1 (String.length (R.to_end r));
  is_invalid "take" (fun () -> R.take (reader ()) (-1));
  is_invalid "skip" (fun () -> R.Text.skip (reader ()) (-1));
  is_invalid "peek_string" (fun () -> ignore (R.Text.peek_string (reader ()) (-1)));
  is_invalid "input" (fun () -> R.input (reader ()) (Bytes.create 1) 1 1);
  is_invalid "size" (fun () -> R.create ~size:15 (D.of_console ()));
  is_invalid "size" (fun () -> W.create ~size:15 (D.of_console ()));
  let w = W.create (Soil.Flow.to_buffer (Buffer.create 1)) in
  is_invalid "string" (fun () -> W.string ~off:1 ~len:3 w "abc");
  is_invalid "bytes" (fun () -> W.bytes w (Bytes.create 2) 0 3)

let written ?size f =
  let b = Buffer.create 100 in
  W.with_ ?size (Soil.Flow.to_buffer b) f;
  Buffer.contents b

let numbers () =
  let text =
    written (fun w ->
        W.uint8 w 0x1ff;
        W.BE.uint16 w 0x10203;
        W.LE.uint16 w (-2);
        W.BE.uint32 w 0xfffefdfc;
        W.LE.uint32 w (-2);
        W.BE.uint64 w 0x0102030405060708L;
        W.LE.uint64 w (-2L);
        W.BE.float w 1.5;
        W.LE.float w (-0.1))
  in
  string "bytes"
    "\xff\x02\x03\xfe\xff\xff\xfe\xfd\xfc\xfe\xff\xff\xff\x01\x02\x03\x04\x05\x06\x07\x08\xfe"
    (String.sub text 0 22);
  let r = R.Text.of_string text in
  ints "small" [ 0xff; 0x203; -2 ]
    (let a = R.BE.uint8 r in
     let b = R.BE.uint16 r in
     [ a; b; R.LE.int16 r ]);
  int "unsigned" 0xfffefdfc (R.BE.uint32 r);
  int "signed" (-2) (R.LE.int32 r);
  bool "large" true (R.BE.uint64 r = 0x0102030405060708L);
  bool "large, signed" true (R.LE.uint64 r = -2L);
  bool "floats" true (R.BE.float r = 1.5);
  bool "floats" true (R.LE.float r = -0.1);
  ints "other signs" [ -2; 0xfffe; -2; 0xfffffffe ]
    (let r = R.Text.of_string "\xff\xfe\xfe\xff\xff\xff\xff\xfe\xfe\xff\xff\xff" in
     let a = R.BE.int16 r in
     let b = R.LE.uint16 r in
     let c = R.BE.int32 r in
     [ a; b; c; R.LE.uint32 r ]);
  ends "too few bytes" (fun () -> R.BE.uint32 (R.Text.of_string "abc"))

(* The calls of a descriptor for what is written. *)
let calls f =
  let calls = ref [] in
  let write b off len =
    calls := Bytes.sub_string b off len :: !calls;
    len
  in
  f (Soil.Flow.sink write);
  List.rev !calls

let coalesced () =
  let big = String.make 3000 'x' in
  strings "in one" [ "one, two\n\001\000\002true 7" ]
    (calls (fun d ->
         W.with_ d @@ fun w ->
         W.string w "one";
         W.char w ',';
         W.line w " two";
         W.uint8 w 1;
         W.BE.uint16 w 2;
         W.Printf.printf w "%b %d" true 7));
  strings "large strings by themselves" [ "head"; big; "tail" ]
    (calls (fun d ->
         W.with_ d @@ fun w ->
         W.string w "head";
         W.string w big;
         W.string w "tail";
         int "pending" 3008 (W.pending w)));
  strings "nothing" [] (calls (fun d -> W.with_ d (fun w -> W.string w "")));
  strings "dropped" []
    (calls (fun d -> try W.with_ d (fun w -> W.string w "x"; raise Exit) with Exit -> ()));
  (* A string as large as that isn't copied. *)
  let same = ref false in
  let write b _ len =
    same := !same || Bytes.unsafe_to_string b == big;
    len
  in
  W.with_ (Soil.Flow.sink write) (fun w -> W.string w big);
  bool "not copied" true !same
[@@ocamlformat "disable"]

let bounded () =
  let calls =
    calls (fun d ->
        W.with_ ~size:16 d @@ fun w ->
        for _ = 1 to 10 do
          W.string w "12345";
          bool "not more than the buffer" true (W.pending w <= 16)
        done)
  in
  string "all" (String.concat "" (List.init 10 (fun _ -> "12345"))) (String.concat "" calls)

(* What is written in any way, through buffers of any size, is what the ways say. *)
let gen_pieces = list_size (int_bound 20) (pair (int_bound 6) (string_size (int_bound 60)))

(* A number of any length. *)
let number_of s =
  let n = Hashtbl.hash s * Hashtbl.hash (s ^ "x") in
  n asr (String.length s mod 63)

let write_piece w (kind, s) =
  match kind with
  | 0 -> W.string w s
  | 1 -> String.iter (W.char w) s
  | 2 -> W.bytes w (Bytes.of_string ("<" ^ s ^ ">")) 1 (String.length s)
  | 3 ->
      let b = Bigarray.Array1.create Bigarray.char Bigarray.c_layout (String.length s + 1) in
      String.iteri (fun i c -> b.{i + 1} <- c) s;
      W.buffer w b 1 (String.length s)
  | 4 -> W.string ~off:1 ~len:(String.length s) w ("<" ^ s ^ ">")
  | 5 -> W.line w s
  | _ -> W.Text.int w (number_of s)

let text_of_piece (kind, s) =
  match kind with 5 -> s ^ "\n" | 6 -> string_of_int (number_of s) | _ -> s

let all_ways (size, pieces) =
  written ~size (fun w -> List.iter (write_piece w) pieces)
  = String.concat "" (List.map text_of_piece pieces)

(* Numbers and texts between them are read as they were written, in pieces of any size. *)
let number_roundtrip (size, piece, numbers) =
  let text =
    written ~size (fun w ->
        let number n =
          W.Text.int w n;
          W.string w "\r\n"
        in
        List.iter number numbers)
  in
  let source = Soil.Flow.of_string text in
  let r =
    R.create ~size (Soil.Flow.source (fun b off len -> D.read source b off (min piece len)))
  in
  let number () =
    let n = R.Text.int r in
    if R.Text.string r "\r\n" then n else None
  in
  List.for_all (fun n -> (not (R.Text.string r "-x")) && number () = Some n) numbers && R.at_end r

(* Writes that are cancelled again and again arrive once each, in order. *)
let cut_writes (size, pieces, cuts) =
  (* One call each. *)
  let pieces = List.filter (fun (kind, _) -> kind <> 1) pieces in
  let r, w = Soil.pipe ~capacity:10 () in
  let writer = W.create ~size w in
  let cuts = ref cuts in
  (* [f ()] until it wasn't cancelled. *)
  let rec again f =
    match !cuts with
    | [] -> f ()
    | turns :: rest -> (
        cuts := rest;
        let work () =
          T.scope (fun s ->
              let t = T.spawn s f in
              for _ = 1 to turns do
                T.yield ()
              done;
              T.cancel t;
              match T.await t with () -> true | exception T.Cancelled -> false)
        in
        match work () with true -> () | false -> again f)
  in
  let write () =
    List.iter (fun piece -> again (fun () -> write_piece writer piece)) pieces;
    again (fun () -> W.flush writer);
    D.close w
  in
  let read () =
    let b = Buffer.create 100 and piece = Bytes.create 7 in
    let rec go () =
      T.yield ();
      match D.read r piece 0 7 with
      | 0 -> Buffer.contents b
      | n ->
          Buffer.add_subbytes b piece 0 n;
          go ()
    in
    go ()
  in
  snd (T.both write read) = String.concat "" (List.map text_of_piece pieces)

(* A tied writer's answers go out before the reader waits, those to all that has come in one. *)
let tied () =
  let log, entries = logger () in
  let pieces = ref [ "a\nb\nc\n"; "d"; "\n"; "e\nf\n" ] in
  let read b off _ =
    match !pieces with
    | [] ->
        log "end";
        0
    | piece :: rest ->
        log "read";
        pieces := rest;
        Bytes.blit_string piece 0 b off (String.length piece);
        String.length piece
  in
  let write b off len =
    log (Bytes.sub_string b off len);
    len
  in
  let r = R.create (Soil.Flow.source read) and w = W.create (Soil.Flow.sink write) in
  W.tie w r;
  while not (R.at_end r) do
    W.string w (R.line r)
  done;
  strings "in order" [ "read"; "abc"; "read"; "read"; "d"; "read"; "ef"; "end" ] (entries ());
  (* Reads that go past the buffer. *)
  let past what f =
    W.string w what;
    f ();
    int what 0 (W.pending w)
  in
  past "input" (fun () -> ignore (R.input r (Bytes.create 9000) 0 9000));
  past "take" (fun () -> ends "take" (fun () -> R.take r 9000));
  past "into a bigarray" (fun () ->
      let b = Bigarray.Array1.create Bigarray.char Bigarray.c_layout 9000 in
      ignore (R.Bigarray.input r b 0 9000));
  past "to the end" (fun () -> string "nothing" "" (R.to_end r))

(* A flush that fails before a read has consumed nothing, and what was written is still there. *)
let tied_and_full () =
  let full = ref true and sent = Buffer.create 10 in
  let write b off len =
    if !full then raise Exit;
    Buffer.add_subbytes sent b off len;
    len
  in
  let r = R.create (Soil.Flow.of_string "ab\n") and w = W.create (Soil.Flow.sink write) in
  W.tie w r;
  string "before" "a" (String.make 1 (R.char r));
  W.string w "one";
  let fails f = match f () with _ -> Alcotest.fail "written" | exception Exit -> () in
  fails (fun () -> R.take r 3);
  int "pending" 3 (W.pending w);
  full := false;
  string "the same line" "b" (R.line r);
  ends "nothing more" (fun () -> R.char r);
  string "once" "one" (Buffer.contents sent)

let tests =
  [
    test "a request is parsed" parsed;
    test "numbers as text" numbers_as_text;
    test "an announced length" announced;
    test "sequences" sequences;
    test "limits and ranges" limits;
    test "numbers" numbers;
    test "small pieces go out together" coalesced;
    test "no more is pending than the buffer holds" bounded;
    property "all ways to write" (pair (int_range 16 100) gen_pieces) all_ways;
    test "a tied writer" tied;
    test "a tied writer that can't write" tied_and_full;
    property "numbers are read as they were written"
      (triple (int_range 16 40) (int_range 1 40)
         (list (oneof [ QCheck2.Gen.int; int_bound 100; oneofl [ min_int; max_int; 0; -1 ] ])))
      number_roundtrip;
    property_in_run "cancelled writes arrive once"
      (triple (int_range 16 64) gen_pieces (list_size (int_bound 30) (int_bound 6)))
      cut_writes;
  ]
