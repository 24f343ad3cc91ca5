(* A program's own sources and sinks, in the places of descriptors. *)
open QCheck2.Gen
open Check
module D = Soil.File_descriptor
module F = Soil.Flow
module R = Soil.Reader

let lines_of_a_string () =
  let r = R.create ~size:16 (F.of_string "one\r\ntwo is longer than the buffer\n\nlast") in
  string "line" "one" (R.line r);
  string "long line" "two is longer than the buffer" (R.line r);
  string "empty line" "" (R.line r);
  string "exactly" "la" (R.take r 2);
  string "the rest" "st" (R.to_end r);
  bool "the end stays" true (R.peek r = None && R.line_opt r = None)

let copied () =
  let text = String.init 100_000 (fun i -> Char.chr (i land 255)) in
  let b = Buffer.create 10 in
  int "bytes" 100_000 (D.copy ~src:(F.of_string text) ~dst:(F.to_buffer b) ());
  bool "as they were" true (Buffer.contents b = text);
  let d = F.to_buffer b in
  Buffer.clear b;
  D.write_string d "a";
  D.writev d [ "bc"; text; "d" ];
  bool "all ways to write" true (Buffer.contents b = "abc" ^ text ^ "d")

(* In the place of a connection: what is written to [d] in capitals, what is read in lower case. *)
let changed d =
  let read b off len =
    let n = D.read d b off len in
    Bytes.blit_string (String.lowercase_ascii (Bytes.sub_string b off n)) 0 b off n;
    n
  in
  let write b off len =
    let b = Bytes.of_string (String.uppercase_ascii (Bytes.sub_string b off len)) in
    D.write_some d b 0 len
  in
  F.make ~name:"changed" ~read ~write ~shutdown:(D.shutdown d) ~close:(fun () -> D.close d) ()

let in_place_of_a_connection () =
  D.with_close (Soil.Tcp.listen ~address:Soil.Net.loopback ~port:0 ()) @@ fun l ->
  let serve () =
    D.with_close (Soil.Tcp.accept l) @@ fun c ->
    let line = R.line (R.create c) in
    D.writev c [ "You said "; line; "." ];
    D.shutdown c `Send
  in
  let ask () =
    D.with_close (changed (Soil.Tcp.connect (Soil.Tcp.local l))) @@ fun f ->
    D.write_string f "hello\n";
    D.read_all f
  in
  string "both ways" "you said hello." (snd (T.both serve ask))

let closing () =
  let closings = ref 0 in
  let f = F.source ~name:"mine" ~close:(fun () -> incr closings) (fun _ _ _ -> 0) in
  string "its name" "mine" (D.name f);
  D.with_close f ignore;
  D.close f;
  int "closed once" 1 !closings;
  bool "closed" false (D.is_open f);
  fails_with "read" Closed (fun () -> D.read f (Bytes.create 1) 0 1);
  let s = F.to_buffer (Buffer.create 1) in
  D.close s;
  fails_with "write" Closed (fun () -> D.write_string s "x");
  let a, b = F.pair () in
  D.write_string a "still there";
  D.close a;
  string "what was written" "still there" (D.read_all b);
  fails_with "no reader" Broken_pipe (fun () -> D.write_string b "x");
  D.close b;
  fails_with "shutdown" Closed (fun () -> D.shutdown a `Send)

let closed_while_waiting () =
  let a, b = F.pair () in
  let read () = fails_with "read" Closed (fun () -> D.read a (Bytes.create 1) 0 1) in
  let close () =
    T.yield ();
    D.close a
  in
  ignore (T.both read close);
  D.close b

let shut_down () =
  let a, b = F.pair () in
  D.write_string a "bye";
  D.shutdown a `Send;
  string "up to the end" "bye" (D.read_all b);
  D.write_string b "answer";
  D.close b;
  string "the other way" "answer" (D.read_all a);
  D.close a

let wrong_counts () =
  let b = Bytes.create 10 in
  let source n = F.source (fun _ _ _ -> n) and sink n = F.sink (fun _ _ _ -> n) in
  is_invalid "more than asked for" (fun () -> D.read (source 11) b 0 10);
  is_invalid "less than none" (fun () -> D.read (source (-1)) b 0 10);
  is_invalid "more than there are" (fun () -> D.write (sink 11) b 0 10);
  is_invalid "nothing written" (fun () -> D.write (sink 0) b 0 10);
  int "nothing to read" 0 (D.read (source 11) b 0 0);
  D.write (sink 0) b 0 0

exception Failed

let failures () =
  let left = ref 3 in
  let read b off _ =
    decr left;
    if !left = 0 then raise Failed;
    Bytes.set b off 'x';
    1
  in
  let f = F.source read in
  bool "raised as it is" true
    (match D.really_read f (Bytes.create 5) 0 5 with () -> false | exception Failed -> true);
  (* What had been read before is there for the next call. *)
  let b = Bytes.create 2 in
  D.really_read f b 0 2;
  string "given back" "xx" (Bytes.to_string b);
  int "not read again" 0 !left

type F.state += Number of int

let states () =
  let f = F.source ~state:(Number 3) (fun _ _ _ -> 0) in
  D.close f;
  bool "kept" true (match F.state f with Some (Number 3) -> true | Some _ | None -> false);
  bool "none" true (F.state (F.of_string "") = None)

(* Other tasks run, and a cancellation arrives, although the flow never waits. *)
let gives_way () =
  let endless =
    F.source (fun b off len ->
        Bytes.fill b off len 'x';
        len)
  in
  let b = Bytes.create 1 in
  let rec read () =
    ignore (D.read endless b 0 1);
    read ()
  in
  T.scope (fun s ->
      let t = T.spawn s read in
      T.yield ();
      T.cancel t)

(* Each write is whole, though the flow takes it in pieces and waits in between. *)
let whole_writes (piece, strings) =
  let got = Buffer.create 100 in
  let f =
    F.sink (fun b off len ->
        T.yield ();
        let n = min piece len in
        Buffer.add_subbytes got b off n;
        n)
  in
  let strings = List.filteri (fun i _ -> i < 4) strings in
  T.iter (D.write_string f) strings;
  let got = Buffer.contents got in
  let rec orders = function
    | [] -> [ "" ]
    | l ->
        List.concat
          (List.mapi
             (fun i s -> List.map (( ^ ) s) (orders (List.filteri (fun j _ -> j <> i) l)))
             l)
  in
  List.mem got (orders strings)

let tests =
  [
    test "lines of a string, outside of run" lines_of_a_string;
    in_run "memory is copied as any descriptor" copied;
    in_run "a flow in the place of a connection" in_place_of_a_connection;
    in_run "closing" closing;
    in_run "closed while a task waits" closed_while_waiting;
    in_run "shutting down" shut_down;
    in_run "counts out of range are refused" wrong_counts;
    in_run "a failure leaves what was read" failures;
    in_run "a flow has its maker's state" states;
    in_run "a flow that never waits lets others run" gives_way;
    property_in_run "writes are whole" ~count:50
      (pair (int_range 1 5) (list_size (int_range 1 4) (string_size (int_bound 20))))
      whole_writes;
  ]
