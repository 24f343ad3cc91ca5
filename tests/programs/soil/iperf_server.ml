(* A server for iperf3: its protocol over TCP, one test after the other, in both directions and
   with several streams. The states are bytes on the first connection; parameters and results are
   JSON with its length before it. *)
module D = Soil.File_descriptor

let port = 5201
let cookie_length = 37
let test_start, test_running, test_end = (1, 2, 4)
let param_exchange, create_streams, exchange_results, display_results = (9, 10, 13, 14)

let read_exactly connection length =
  let data = Bytes.create length in
  D.really_read connection data 0 length;
  data

let tell connection state = D.write connection (Bytes.make 1 (Char.chr state)) 0 1

let read_json connection =
  let length = Int32.to_int (Bytes.get_int32_be (read_exactly connection 4) 0) in
  if length < 0 || length > 65536 then failwith "a length that can't be";
  Bytes.to_string (read_exactly connection length)

let write_json connection text =
  let length = Bytes.create 4 in
  Bytes.set_int32_be length 0 (Int32.of_int (String.length text));
  D.write connection length 0 4;
  D.write_string connection text

(* The value of a member, as far as it is a word or a number. *)
let member name text =
  let key = Printf.sprintf "\"%s\":" name in
  let is_part c = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') in
  let rec find at =
    if at + String.length key > String.length text then None
    else if String.sub text at (String.length key) = key then
      let rec skip i = if i < String.length text && text.[i] = ' ' then skip (i + 1) else i in
      let start = skip (at + String.length key) in
      let rec stop i = if i < String.length text && is_part text.[i] then stop (i + 1) else i in
      Some (String.sub text start (stop start - start))
    else find (at + 1)
  in
  find 0

let run_test listener control =
  ignore (read_exactly control cookie_length);
  tell control param_exchange;
  let parameters = read_json control in
  let count = Option.fold ~none:1 ~some:int_of_string (member "parallel" parameters) in
  let reverse = member "reverse" parameters = Some "true" in
  tell control create_streams;
  let accept _ =
    let stream = Soil.Tcp.accept ~timeout:60. listener in
    ignore (read_exactly stream cookie_length);
    stream
  in
  let streams = List.init count accept in
  let bytes = Array.make count 0 in
  let move number stream () =
    let buffer = Bigarray.Array1.create Char C_layout 131072 in
    Bigarray.Array1.fill buffer 'i';
    let rec loop () =
      let n =
        if reverse then (
          D.write_from stream buffer 0 131072;
          131072)
        else D.read_into stream buffer 0 131072
      in
      bytes.(number) <- bytes.(number) + n;
      if n > 0 then loop ()
    in
    try loop () with Soil.Error _ -> ()
  in
  tell control test_start;
  tell control test_running;
  Soil.Task.scope (fun scope ->
      List.iteri (fun n stream -> ignore (Soil.Task.spawn scope (move n stream))) streams;
      while Char.code (Bytes.get (read_exactly control 1) 0) <> test_end do
        ()
      done;
      (* The client has sent all: what is under way comes first. *)
      let wanted = Option.bind (member "num" parameters) int_of_string_opt in
      let all_came () = Array.fold_left ( + ) 0 bytes >= Option.value wanted ~default:0 in
      if not reverse then (
        Soil.Clock.sleep 0.2;
        Patience.await all_came);
      Soil.Task.cancel_scope scope);
  (* As iperf3's own server does: a client that reads whole blocks gets an end where there is no
     more of them. *)
  List.iter D.close streams;
  tell control exchange_results;
  ignore (read_json control);
  let stream n total =
    Printf.sprintf
      {|{"id":%d,"bytes":%d,"retransmits":0,"jitter":0,"errors":0,"packets":0,"start_time":0,"end_time":1}|}
      (if n = 0 then 1 else n + 2)
      total
  in
  let every = String.concat "," (List.mapi stream (Array.to_list bytes)) in
  write_json control
    (Printf.sprintf
       {|{"cpu_util_total":0,"cpu_util_user":0,"cpu_util_system":0,"sender_has_retransmits":0,"streams":[%s]}|}
       every);
  tell control display_results;
  ignore (read_exactly control 1);
  Printf.printf "%d bytes on %d streams\n%!" (Array.fold_left ( + ) 0 bytes) count

let () =
  Soil.run @@ fun () ->
  let listener = Soil.Tcp.listen ~port () in
  Soil.Net.wait_up ();
  print_endline "ready";
  while true do
    let control = Soil.Tcp.accept listener in
    (try run_test listener control with
    | Soil.Error e -> prerr_endline (Soil.Error.to_string e)
    | End_of_file | Failure _ -> prerr_endline "a client that doesn't speak iperf3");
    D.close control
  done
