(* Network services. Arguments: http|echo|chargen|discard|datagrams PORT. *)

let response =
  Bytes.of_string
    (Printf.sprintf "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s"
       1024 (String.make 1024 'x'))

(* The number of blank lines, which end requests without a body, in each chunk of a connection; a
   line end may be split over two chunks, so the state of the match is kept. *)
let blank_lines () =
  let state = ref 0 in
  fun chunk length ->
    let count = ref 0 in
    for i = 0 to length - 1 do
      state :=
        match (!state, Bytes.unsafe_get chunk i) with
        | 0, '\r' -> 1
        | 1, '\n' -> 2
        | 2, '\r' -> 3
        | 3, '\n' ->
            incr count;
            0
        | _, '\r' -> 1
        | _ -> 0
    done;
    !count

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
  | "http" -> Io.serve_chunks listener blank_lines ~response
  | "echo" -> serve_one echo
  | "discard" -> serve_one discard
  | "chargen" -> serve_one chargen
  | _ -> prerr_endline ("unknown service " ^ mode)

let () =
  let mode = Sys.argv.(1) and port = int_of_string Sys.argv.(2) in
  Io.run @@ fun () -> if mode = "datagrams" then datagrams port else tcp mode port
