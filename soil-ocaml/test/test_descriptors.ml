open QCheck2.Gen
open Check
module D = Soil.File_descriptor

let buffer n = Bigarray.Array1.create Bigarray.Char Bigarray.C_layout n

let read_string d n =
  let b = Bytes.create n in
  D.really_read d b 0 n;
  Bytes.to_string b

let use_after_close () =
  let r, w = Soil.pipe () in
  D.close w;
  D.close w;
  bool "closed" false (D.is_open w);
  fails_with "write" Closed (fun () -> D.write_string w "x");
  fails_with "shutdown" Closed (fun () -> D.shutdown w `Send);
  int "end of input" 0 (D.read r (Bytes.create 8) 0 8);
  D.close r;
  fails_with "read" Closed (fun () -> D.read r (Bytes.create 8) 0 8);
  fails_with "read_into" Closed (fun () -> D.read_into r (buffer 8) 0 8)

(* The number of a closed descriptor is used again, and the old one must not reach the new. *)
let generations () =
  let old, w = Soil.pipe () in
  D.close old;
  D.close w;
  let pipes = List.init 20 (fun _ -> Soil.pipe ()) in
  List.iter (fun (_, w) -> D.write_string w "secret") pipes;
  fails_with "old" Closed (fun () -> D.read old (Bytes.create 8) 0 8);
  List.iter
    (fun (r, w) ->
      D.close w;
      string "new" "secret" (D.read_all r);
      D.close r)
    pipes

let closed_while_waiting () =
  T.scope (fun s ->
      let waits f = T.spawn s (fun () -> error_code f) in
      let r, _w = Soil.pipe () in
      let _r, w = Soil.pipe ~capacity:1 () in
      D.write_string w "1";
      let reading = List.init 3 (fun _ -> waits (fun () -> D.read r (Bytes.create 1) 0 1)) in
      let writing = waits (fun () -> D.write_string w "2") in
      T.yield ();
      D.close r;
      D.close w;
      List.iter (fun t -> string "readers" "descriptor is closed" (T.await t)) reading;
      string "writer" "descriptor is closed" (T.await writing))

(* All are written to before any of the readers has its turn. *)
let one_buffer_for_all () =
  let b = Bytes.create 8 in
  T.scope (fun s ->
      let reader n =
        let r, w = Soil.pipe () in
        let read () =
          let n = D.read r b 0 8 in
          Bytes.sub_string b 0 n
        in
        (string_of_int n, w, T.spawn s read)
      in
      let readers = List.init 5 reader in
      T.yield ();
      List.iter (fun (text, w, _) -> D.write_string w text) readers;
      List.iter (fun (text, _, reader) -> string "its own" text (T.await reader)) readers)

let broken_pipe () =
  let r, w = Soil.pipe ~capacity:4 () in
  D.close r;
  fails_with "no reader" Broken_pipe (fun () -> D.write_string w "12345678");
  D.close w;
  let r, w = Soil.pipe ~capacity:4 () in
  T.scope (fun s ->
      let t = T.spawn s (fun () -> error_code (fun () -> D.write_string w "123456")) in
      T.yield ();
      T.yield ();
      D.close r;
      string "while waiting" "broken pipe" (T.await t))

(* Writes that need many pieces, of several tasks: each is whole. *)
let whole_writes () =
  let r, w = Soil.pipe ~capacity:7 () in
  let text c = String.make 100 c in
  let big = buffer 100 in
  Bigarray.Array1.fill big 'c';
  let read = ref "" in
  T.scope (fun s ->
      let a = T.spawn s (fun () -> D.write_string w (text 'a')) in
      let b = T.spawn s (fun () -> D.writev w [ String.make 40 'b'; String.make 60 'b' ]) in
      let c = T.spawn s (fun () -> D.write_from w big 0 100) in
      let d = T.spawn s (fun () -> D.write w (Bytes.of_string (text 'd')) 0 100) in
      T.yield ();
      (* One that waits for its turn, cancelled, has written nothing. *)
      bool "cancelled" true (T.timeout_opt 0.001 (fun () -> D.write_string w "xyz") = None);
      ignore (T.spawn s (fun () -> read := D.read_all r));
      List.iter T.await [ a; b; c; d ];
      D.close w);
  string "whole" (text 'a' ^ text 'b' ^ text 'c' ^ text 'd') !read;
  (* One that is cancelled amid its pieces lets the others go on. *)
  let r, w = Soil.pipe ~capacity:7 () in
  T.scope (fun s ->
      let first = T.spawn s (fun () -> D.write_string w (text 'a')) in
      let second = T.spawn s (fun () -> D.write_string w "bb") in
      T.yield ();
      T.cancel first;
      string "the beginning" "aaaaaaa" (read_string r 7);
      string "the other's" "bb" (read_string r 2);
      T.await second)

let ranges () =
  let r, w = Soil.pipe () in
  let b = Bytes.create 4 and big = buffer 4 in
  List.iter
    (fun (off, len) ->
      is_invalid "read" (fun () -> D.read r b off len);
      is_invalid "write" (fun () -> D.write w b off len);
      is_invalid "read_into" (fun () -> D.read_into r big off len);
      is_invalid "write_from" (fun () -> D.write_from w big off len);
      is_invalid "write_string" (fun () -> D.write_string ~off ~len w "1234"))
    [ (-1, 1); (0, -1); (0, 5); (5, 0); (3, 2); (max_int, 1); (1, max_int) ];
  int "nothing" 0 (D.read r b 4 0);
  is_invalid "capacity" (fun () -> Soil.pipe ~capacity:0 ())

let console () =
  let d = D.of_console () in
  D.close d;
  bool "stays open" true (D.is_open d);
  bool "one object" true (d == D.of_console ());
  string "name" "console" (D.name d)

let with_close () =
  let r, w = Soil.pipe () in
  (try D.with_close r (fun _ -> raise Exit) with Exit -> ());
  bool "closed by failure" false (D.is_open r);
  int "result" 3 (D.with_close w (fun _ -> 3));
  bool "closed" false (D.is_open w)

(* [read] returns the bytes that [write] sends through a small pipe. *)
let through_pipe write (capacity, strings) =
  let r, w = Soil.pipe ~capacity () in
  let (), got =
    T.both
      (fun () ->
        write w strings;
        D.close w)
      (fun () -> D.read_all r)
  in
  D.close r;
  got = String.concat "" strings

let from_bigarray w s =
  let b = buffer (String.length s + 2) in
  String.iteri (fun i c -> b.{i + 2} <- c) s;
  D.write_from w b 2 (String.length s)

let pieces = pair (int_range 1 100) (list_size (int_bound 10) (string_size (int_bound 300)))

let into_bigarray (offset, s) =
  let r, w = Soil.pipe () in
  D.write_string w s;
  let n = String.length s in
  let b = buffer (offset + n + 1) in
  Bigarray.Array1.fill b '?';
  let got = D.read_into r b offset n in
  got = n && b.{offset + n} = '?' && String.init n (fun i -> b.{offset + i}) = s

let copies (capacity, strings) =
  let r, w = Soil.pipe ~capacity () in
  let r2, w2 = Soil.pipe ~capacity:(capacity + 3) () in
  let all = String.concat "" strings in
  let results =
    T.all
      [
        (fun () ->
          D.write_string w all;
          D.close w;
          "");
        (fun () ->
          let n = D.copy ~buffer:(capacity * 2) ~src:r ~dst:w2 () in
          D.close w2;
          string_of_int n);
        (fun () -> D.read_all r2);
      ]
  in
  results = [ ""; string_of_int (String.length all); all ]

(* Lines through buffers of any size are what splitting the whole gives. *)
let lines (size, pieces, last) =
  let text = String.concat "" (List.map (fun (s, e) -> s ^ e) pieces) ^ last in
  let r, w = Soil.pipe ~capacity:7 () in
  let expected = List.map fst pieces @ if last = "" then [] else [ last ] in
  let (), got =
    T.both
      (fun () ->
        D.write_string w text;
        D.close w)
      (fun () ->
        let reader = Soil.Reader.create ~size r in
        let rec go l =
          match Soil.Reader.line_opt reader with Some s -> go (s :: l) | None -> List.rev l
        in
        go [])
  in
  got = expected

let gen_lines =
  let plain = string_size ~gen:(char_range 'a' 'e') (int_bound 40) in
  triple (int_range 16 64) (list_size (int_bound 10) (pair plain (oneofl [ "\n"; "\r\n" ]))) plain

let reader () =
  let from text =
    let r, w = Soil.pipe () in
    D.write_string w text;
    D.close w;
    Soil.Reader.create ~size:16 r
  in
  let r = from "one\ntwo\r\n\n4567rest" in
  bool "peek" true (Soil.Reader.peek r = Some 'o');
  string "line" "one" (Soil.Reader.line r);
  string "line" "two" (Soil.Reader.line r);
  string "empty" "" (Soil.Reader.line r);
  string "exactly" "4567" (Soil.Reader.take r 4);
  string "rest" "rest" (Soil.Reader.to_end r);
  bool "end" true (Soil.Reader.peek r = None && Soil.Reader.line_opt r = None);
  bool "exactly, too few" true
    (match Soil.Reader.take (from "abc") 4 with _ -> false | exception End_of_file -> true);
  fails_with "long line" Too_large (fun () ->
      Soil.Reader.line ~max:20 (from "abcdefghijklmnopqrstuvwxyz\n"));
  string "just not too long" "abcdefghijklmnopqrst"
    (Soil.Reader.line ~max:20 (from "abcdefghijklmnopqrst\n"));
  fails_with "read_all" Too_large (fun () ->
      let r, w = Soil.pipe () in
      D.write_string w "123456";
      D.close w;
      D.read_all ~max:5 r);
  is_invalid "size" (fun () -> Soil.Reader.create ~size:15 (D.of_console ()))

let tests =
  [
    in_run "use after close" use_after_close;
    in_run "a closed number isn't the next one's" generations;
    in_run "closed while waiting" closed_while_waiting;
    in_run "readers have one buffer in common" one_buffer_for_all;
    in_run "broken pipe" broken_pipe;
    in_run "writes are whole" whole_writes;
    in_run "ranges" ranges;
    in_run "console" console;
    in_run "with_close" with_close;
    in_run "reader" reader;
    property_in_run "write_string" pieces (through_pipe (fun w -> List.iter (D.write_string w)));
    property_in_run "writev" pieces (through_pipe D.writev);
    property_in_run "writev of large ones" ~count:20
      (pair (int_range 1000 5000) (list_size (int_bound 6) (string_size (int_bound 30000))))
      (through_pipe D.writev);
    property_in_run "write_from" pieces (through_pipe (fun w -> List.iter (from_bigarray w)));
    property_in_run "read_into" (pair (int_bound 9) (string_size (int_bound 100))) into_bigarray;
    property_in_run "copy" pieces copies;
    property_in_run "lines" gen_lines lines;
  ]
