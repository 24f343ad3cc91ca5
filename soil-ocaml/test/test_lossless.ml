(* Bytes that a call took before it was cancelled or failed are there for the next call: the results
   of any mixture of calls, cut at any places, are together the bytes that were sent. *)
open QCheck2.Gen
open Check
module D = Soil.File_descriptor
module R = Soil.Reader

(* [f ()] in a task that is cancelled after [cut]: a number of yields, or a time. *)
let cancelled_after cut f =
  match cut with
  | `Turns turns ->
      T.scope (fun s ->
          let t = T.spawn s f in
          for _ = 1 to turns do
            T.yield ()
          done;
          T.cancel t;
          match T.await t with () -> () | exception T.Cancelled -> ())
  | `Seconds seconds -> ( match T.timeout_opt seconds f with Some () | None -> ())

let gen_cut =
  frequency
    [
      (4, map (fun n -> `Turns n) (int_bound 6));
      (1, map (fun n -> `Seconds (Float.of_int n *. 0.0002)) (int_bound 5));
    ]

exception End

(* Makes calls in turn, the list again and again, each as often as it can before it is cancelled,
   until one raises [End]; [finish ()] where they don't get there. *)
let all_cut ~finish calls =
  let go_on = ref true and rounds = ref 0 in
  while !go_on && !rounds < 200 do
    incr rounds;
    List.iter
      (fun (cut, call) ->
        if !go_on then
          cancelled_after cut (fun () ->
              try
                while true do
                  call ()
                done
              with
              | End -> go_on := false
              | Soil.Error { code = Too_large; _ } -> ()))
      calls
  done;
  if !go_on then finish ()

let rec to_its_end call () = match call () with () -> to_its_end call () | exception End -> ()

let send d text chunk =
  let rec go at =
    if at < String.length text then (
      let n = min chunk (String.length text - at) in
      D.write_string ~off:at ~len:n d text;
      if at mod 3 = 0 then T.yield ();
      go (at + n))
  in
  go 0;
  D.shutdown d `Send

let with_pipe f =
  let r, w = Soil.pipe ~capacity:1000 () in
  D.with_close r @@ fun r ->
  D.with_close w @@ fun w -> f w r

let with_connection f =
  D.with_close (Soil.Tcp.listen ~address:Soil.Net.loopback ~port:0 ()) @@ fun l ->
  D.with_close (Soil.Tcp.connect (Soil.Tcp.local l)) @@ fun a ->
  D.with_close (Soil.Tcp.accept l) @@ fun b -> f a b

(* Flows: a pair, and one that has no functions of bigarrays. *)

let with_flows f =
  let a, b = Soil.Flow.pair ~capacity:1000 () in
  D.with_close a @@ fun a ->
  D.with_close b @@ fun b -> f a b

let with_copying_flow f =
  with_pipe @@ fun w r ->
  let a =
    Soil.Flow.make ~read:(fun _ _ _ -> 0) ~write:(D.write_some w) ~shutdown:(D.shutdown w) ()
  in
  f a (Soil.Flow.source (D.read r))

(* Functions of descriptors *)

let text_of_buffer b n = String.init n (Bigarray.Array1.get b)

let next lease d got (kind, n) () =
  let add s = if s = "" then raise End else Buffer.add_string got s in
  match kind with
  | `Read ->
      let b = Bytes.create n in
      add (Bytes.sub_string b 0 (D.read d b 0 n))
  | `Read_into ->
      let b = Bigarray.Array1.create Bigarray.char Bigarray.c_layout n in
      add (text_of_buffer b (D.read_into d b 0 n))
  | `Really_read -> (
      let b = Bytes.create n in
      match D.really_read d b 0 n with
      | () -> add (Bytes.to_string b)
      | exception End_of_file -> add (D.read_all d))
  | `Read_all -> (
      match D.read_all ~max:(10 * n) d with
      | s ->
          Buffer.add_string got s;
          raise End
      | exception End_of_file -> assert false)
  | `Copy ->
      let r, w = Soil.pipe ~capacity:7 () in
      let arrived = Buffer.create 100 in
      T.protect (fun () ->
          (* Cancels [copy] when [left] bytes have arrived. *)
          T.scope (fun s ->
              let copying = T.spawn s (fun () -> ignore (D.copy ~buffer:n ~src:d ~dst:w ())) in
              let b = Bytes.create 5 in
              let rec receive left =
                if left > 0 && T.result copying = None then
                  match T.timeout_opt 0.001 (fun () -> D.read r b 0 5) with
                  | Some n ->
                      Buffer.add_subbytes arrived b 0 n;
                      receive (left - n)
                  | None -> ()
              in
              receive (3 * n);
              T.cancel copying);
          D.close w;
          Buffer.add_string arrived (D.read_all r);
          D.close r);
      Buffer.add_buffer got arrived;
      T.check ();
      (* Whether that was the end. *)
      let b = Bytes.create 1 in
      add (Bytes.sub_string b 0 (D.read d b 0 1))
  | `Lease -> add (lease d)

(* Of connections only. *)
let lease c =
  match Soil.Zero_copy.receive c with
  | Some lease ->
      let b = Soil.Zero_copy.buffer lease in
      let text = text_of_buffer b (Bigarray.Array1.dim b) in
      Soil.Zero_copy.release lease;
      text
  | None -> raise End

let no_lease _ = assert false

let descriptors lease with_pair (text, chunk, calls) =
  with_pair @@ fun a b ->
  let got = Buffer.create 1000 in
  T.both
    (fun () -> send a text chunk)
    (fun () ->
      let finish () = Buffer.add_string got (D.read_all b) in
      all_cut ~finish (List.map (fun (cut, call) -> (cut, next lease b got call)) calls))
  |> fun ((), ()) -> Buffer.contents got = text

let gen_text = string_size ~gen:(char_range 'a' 'z') (int_bound 3000)

let gen_calls kinds =
  triple gen_text (int_range 1 300)
    (list_size (int_range 1 6) (pair gen_cut (pair (oneofl kinds) (int_range 1 60))))

(* Readers *)

let next_of_reader r got (kind, n) () =
  let add s = if s = "" then raise End else Buffer.add_string got s in
  match kind with
  | `Line -> (
      match R.line ~max:n r with s -> add (s ^ "\n") | exception End_of_file -> raise End)
  | `Line_opt -> (
      match R.line_opt ~max:(20 * n) r with Some s -> add (s ^ "\n") | None -> raise End)
  | `Exactly -> ( match R.take r n with s -> add s | exception End_of_file -> add (R.to_end r))
  | `Input ->
      let b = Bytes.create n in
      add (Bytes.sub_string b 0 (R.input r b 0 n))
  | `Peek -> (
      match R.peek r with
      | Some c ->
          let s = R.take r 1 in
          if s <> String.make 1 c then failwith "peek";
          add s
      | None -> raise End)
  | `Char -> (
      match R.char r with c -> add (String.make 1 c) | exception End_of_file -> raise End)
  | `Numbers -> (
      let b = Bytes.create 8 in
      match R.BE.uint64 r with
      | n ->
          Bytes.set_int64_be b 0 n;
          add (Bytes.to_string b)
      | exception End_of_file -> add (R.to_end r))
  | `Take_while ->
      let s = R.Text.take_while ~max:n r (( <> ) '\n') in
      if s = "" then add (String.make 1 (try R.char r with End_of_file -> raise End)) else add s
  | `Skip -> (
      (* [ensure] makes known what [skip] takes. *)
      match
        R.ensure r n;
        R.Text.skip r n
      with
      | () -> Buffer.add_string got (String.make n '?')
      | exception End_of_file -> add (R.to_end r))
  | `String -> (
      match R.peek r with
      | None -> raise End
      | Some c ->
          let s = String.make n c in
          if R.Text.string r s then add s
          else if R.Text.string r (String.make 1 c) then add (String.make 1 c))
  | `Input_into ->
      let b = Bigarray.Array1.create Bigarray.char Bigarray.c_layout n in
      add (text_of_buffer b (R.Bigarray.input r b 0 n))
  | `To_end ->
      Buffer.add_string got (R.to_end ~max:(10 * n) r);
      raise End

let readers with_pair (size, (text, chunk, calls)) =
  (* Every line has its end, so that it is known what [line] has left out. *)
  let text = String.map (fun c -> if c < 'c' then '\n' else c) text ^ "\n" in
  with_pair @@ fun a b ->
  let got = Buffer.create 1000 and reader = R.create ~size b in
  T.both
    (fun () -> send a text chunk)
    (fun () ->
      let finish () = Buffer.add_string got (R.to_end reader) in
      all_cut ~finish (List.map (fun (cut, call) -> (cut, next_of_reader reader got call)) calls))
  |> fun ((), ()) ->
  let got = Buffer.contents got in
  String.length got = String.length text
  && List.for_all
       (fun i -> got.[i] = '?' || got.[i] = text.[i])
       (List.init (String.length text) Fun.id)

let gen_reader_calls =
  let text = [ `Line; `Line_opt; `Exactly; `Take_while; `Char; `String; `Peek ] in
  pair (int_range 16 100) (gen_calls (text @ [ `Skip; `Numbers; `Input; `Input_into; `To_end ]))

(* The example: a line in two pieces, and a time-out in between. *)
let line_in_pieces () =
  with_connection @@ fun a b ->
  let reader = R.create b in
  D.write_string a "hel";
  bool "not yet" true (T.timeout_opt 0.02 (fun () -> R.line_opt reader) = None);
  D.write_string a "lo\r\nworld";
  string "whole" "hello" (R.line reader);
  bool "not yet" true (T.timeout_opt 0.02 (fun () -> R.take reader 5000) = None);
  int "buffered" 5 (R.buffered reader);
  D.shutdown a `Send;
  bool "too few" true (match R.take reader 6 with _ -> false | exception End_of_file -> true);
  string "the rest" "world" (R.to_end reader)

(* Input after [Too_large] is left to be read; line ends don't count towards the limit. *)
let limits () =
  let from text =
    let r, w = Soil.pipe () in
    D.write_string w text;
    D.close w;
    r
  in
  let reader text = R.create ~size:16 (from text) in
  let line = "abcdefghijklmnopqrst" in
  List.iter
    (fun ending ->
      string "just not too long" line (R.line ~max:20 (reader (line ^ ending ^ "next")));
      let r = reader (line ^ ending ^ "next\n") in
      fails_with "too long" Too_large (fun () -> R.line ~max:19 r);
      fails_with "still" Too_large (fun () -> R.line ~max:19 r);
      string "all of it is there" line (R.line ~max:20 r);
      string "and the next" "next" (R.line r))
    [ "\n"; "\r\n" ];
  (* At the end of input a return ends no line. *)
  fails_with "a return" Too_large (fun () -> R.line ~max:20 (reader (line ^ "\r")));
  string "a return" (line ^ "\r") (R.line ~max:21 (reader (line ^ "\r")));
  let d = from "123456" in
  fails_with "read_all" Too_large (fun () -> D.read_all ~max:5 d);
  bool "really_read" true
    (match D.really_read d (Bytes.create 9) 0 9 with () -> false | exception End_of_file -> true);
  string "all of it" "123456" (D.read_all ~max:6 d);
  let r = reader "123456" in
  fails_with "to_end" Too_large (fun () -> R.to_end ~max:5 r);
  string "all of it" "123456" (R.to_end ~max:6 r);
  (* Closing the descriptor drops the bytes that were given back. *)
  let d = from "123456" in
  fails_with "read_all" Too_large (fun () -> D.read_all ~max:5 d);
  D.close d;
  fails_with "closed" Closed (fun () -> D.read_all d);
  with_connection @@ fun a b ->
  D.write_string a "123456";
  fails_with "read_all" Too_large (fun () -> D.read_all ~max:5 b);
  Soil.File_descriptor.shutdown b `Receive;
  int "thrown away" 0 (D.read b (Bytes.create 9) 0 9)

(* A cancelled write has written a prefix of its data. *)
let writers with_pair (text, cuts) =
  with_pair @@ fun w r ->
  let writes =
    [
      (fun () -> D.write_string w text);
      (fun () -> D.write w (Bytes.of_string text) 0 (String.length text));
      (fun () -> D.writev w [ text; text ]);
      (fun () ->
        let b = Bigarray.Array1.create Bigarray.char Bigarray.c_layout (String.length text) in
        String.iteri (Bigarray.Array1.set b) text;
        D.write_from w b 0 (String.length text));
    ]
  in
  List.for_all2
    (fun write cut ->
      let got = Buffer.create 100 and b = Bytes.create 100 in
      T.scope (fun s ->
          let reading =
            T.spawn s (fun () ->
                while true do
                  Buffer.add_subbytes got b 0 (D.read r b 0 100)
                done)
          in
          cancelled_after cut write;
          T.yield ();
          T.yield ();
          while T.timeout_opt 0.0002 (fun () -> D.read r b 0 0) = None do
            ()
          done;
          Soil.Clock.sleep 0.0005;
          T.cancel reading);
      let n = Buffer.length got in
      n <= 2 * String.length text && Buffer.contents got = String.sub (text ^ text) 0 n)
    writes cuts

(* Connections *)
let accepted (count, cuts) =
  D.with_close (Soil.Tcp.listen ~address:Soil.Net.loopback ~port:0 ()) @@ fun l ->
  let before = Soil.Machine.counter "descriptors" in
  let clients = List.init count (fun _ -> Soil.Tcp.connect (Soil.Tcp.local l)) in
  let servers = ref [] in
  let accept () =
    if List.length !servers = count then raise End;
    servers := Soil.Tcp.accept l :: !servers
  in
  all_cut ~finish:(to_its_end accept) (List.map (fun cut -> (cut, accept)) cuts);
  let peers = List.sort compare (List.map Soil.Tcp.peer !servers) in
  let same = peers = List.sort compare (List.map Soil.Tcp.local clients) in
  List.iter D.close clients;
  List.iter D.close !servers;
  same && Soil.Machine.counter "descriptors" = before

(* Datagrams *)
let datagrams (count, calls) =
  let bind () = Soil.Udp.bind ~address:Soil.Net.loopback ~port:0 () in
  D.with_close (bind ()) @@ fun a ->
  D.with_close (bind ()) @@ fun b ->
  let got = ref [] in
  let slots = Bigarray.Array1.create Bigarray.char Bigarray.c_layout 64 in
  let receive batch () =
    if List.length !got = count then raise End;
    if batch then
      List.iteri
        (fun i (n, _) ->
          let s = String.init n (fun j -> slots.{(8 * i) + j}) in
          got := int_of_string s :: !got)
        (Soil.Udp.receive_batch b slots ~slot:8 8)
    else
      let bytes = Bytes.create 8 in
      let n, _ = Soil.Udp.receive b bytes 0 8 in
      got := int_of_string (Bytes.sub_string bytes 0 n) :: !got
  in
  let send () =
    for i = 1 to count do
      Soil.Udp.send_string a (Soil.Udp.local b) (string_of_int i);
      if i mod 40 = 0 then Soil.Clock.sleep 0.0005
    done
  in
  let receive () =
    all_cut
      ~finish:(to_its_end (receive false))
      (List.map (fun (cut, batch) -> (cut, receive batch)) calls)
  in
  T.both send receive |> fun ((), ()) -> List.rev !got = List.init count (fun i -> i + 1)

(* Streams of tasks: each pushed value is taken once, and no other. *)
let streams (capacity, count, pushes, takes) =
  let s = T.Stream.create capacity in
  let pushed = ref 0 and taken = ref [] in
  let push () =
    if !pushed = count then raise End;
    T.Stream.push s (!pushed + 1);
    incr pushed
  in
  let take () =
    match T.Stream.take s with v -> taken := v :: !taken | exception End_of_file -> raise End
  in
  T.both
    (fun () ->
      all_cut ~finish:(to_its_end push) (List.map (fun cut -> (cut, push)) pushes);
      T.Stream.close s)
    (fun () -> all_cut ~finish:(to_its_end take) (List.map (fun cut -> (cut, take)) takes))
  |> fun ((), ()) -> List.rev !taken = List.init count (fun i -> i + 1)

let gen_writes = pair (string_size (int_bound 5000)) (list_size (return 4) gen_cut)
let cuts = list_size (int_range 1 5) gen_cut

let tests =
  let plain = [ `Read; `Read_into; `Really_read; `Read_all; `Copy ] in
  [
    in_run "a line in pieces" line_in_pieces;
    in_run "limits" limits;
    property_in_run "pipes" (gen_calls plain) (descriptors no_lease with_pipe);
    property_in_run "connections" (gen_calls (`Lease :: plain)) (descriptors lease with_connection);
    property_in_run "flows" ~count:100 (gen_calls plain) (descriptors no_lease with_flows);
    property_in_run "flows of bytes" ~count:100 (gen_calls plain)
      (descriptors no_lease with_copying_flow);
    property_in_run "readers of flows" ~count:100 gen_reader_calls (readers with_copying_flow);
    property_in_run "readers of pipes" gen_reader_calls (readers with_pipe);
    property_in_run "readers of connections" gen_reader_calls (readers with_connection);
    property_in_run "writing" ~count:50 gen_writes (writers with_pipe);
    property_in_run "writing to flows" ~count:50 gen_writes (writers with_copying_flow);
    property_in_run "accept" ~count:30 (pair (int_bound 150) cuts) accepted;
    property_in_run "datagrams"
      (pair (int_bound 200) (list_size (int_range 1 5) (pair gen_cut QCheck2.Gen.bool)))
      datagrams;
    property_in_run "streams" (quad (int_bound 3) (int_bound 200) cuts cuts) streams;
  ]
