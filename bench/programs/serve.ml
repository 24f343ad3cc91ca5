(* Network services. Arguments: http|echo|chargen|discard|datagrams PORT. *)

let chunk = 65536

let rec echo connection buffer =
  match Io.read connection buffer with
  | 0 -> ()
  | n ->
      Io.write connection buffer n;
      echo connection buffer

let rec discard connection buffer = if Io.read connection buffer > 0 then discard connection buffer

let rec chargen connection buffer =
  Io.write connection buffer chunk;
  chargen connection buffer

(* Datagrams are counted; one that begins with 'q' is answered with the count, one with 'g' with 256
   datagrams of 64 bytes. *)
let datagrams port =
  let socket = Io.bind port in
  print_endline "datagrams ready";
  let data = Bytes.create 2048 and block = Bytes.make 64 'd' in
  let rec loop count =
    let n, from = Io.receive socket data in
    match if n = 0 then ' ' else Bytes.get data 0 with
    | 'q' ->
        let text = Bytes.of_string (string_of_int count) in
        Io.send socket from text (Bytes.length text);
        loop count
    | 'g' ->
        for _ = 1 to 256 do
          Io.send socket from block 64
        done;
        loop count
    | _ -> loop (count + 1)
  in
  loop 0

let tcp mode port =
  let listener = Io.listen port in
  Printf.printf "%s ready on %d\n%!" mode port;
  let serve_one f =
    let buffer = Io.buffer chunk in
    Io.serve_one listener (fun connection -> f connection buffer)
  in
  match mode with
  | "http" -> Io.serve_chunks listener Requests.count ~response:Requests.response
  | "echo" -> serve_one echo
  | "discard" -> serve_one discard
  | "chargen" -> serve_one chargen
  | _ -> prerr_endline ("unknown service " ^ mode)

let () =
  let mode = Sys.argv.(1) and port = int_of_string Sys.argv.(2) in
  Io.run @@ fun () -> if mode = "datagrams" then datagrams port else tcp mode port
