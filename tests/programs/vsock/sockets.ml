(* Serves and visits peers over vsock. The protocol: a line, then what it asks for.

   - "echo": all bytes come back, until the end of input.
   - "take N": N bytes follow; the answer is their digest in hexadecimal, and a line feed.
   - "give N": N bytes come.
   - "half": bytes follow until the end of input; the answer is their number, and a line feed. *)

open Soil
module D = File_descriptor

let port = 1024
let size = 4 lsl 20

(* [n] bytes from place [at] of an endless text that has no period of a power of two. *)
let pattern at n =
  Bytes.init n (fun i -> Char.unsafe_chr (((at + i) * 7) + ((at + i) / 251 land 255)))

let send c n =
  let rec go at =
    if at < n then (
      let len = min 30_000 (n - at) in
      D.write c (pattern at len) 0 len;
      go (at + len))
  in
  go 0

let digest n =
  let all = Buffer.create n in
  let rec go at =
    if at < n then (
      let len = min 30_000 (n - at) in
      Buffer.add_bytes all (pattern at len);
      go (at + len))
  in
  go 0;
  Digest.to_hex (Digest.string (Buffer.contents all))

let receive c n =
  let all = Bytes.create n in
  D.really_read c all 0 n;
  Digest.to_hex (Digest.bytes all)

let read_line c =
  let line = Buffer.create 80 and b = Bytes.create 1 in
  let rec go () =
    if D.read c b 0 1 = 1 && Bytes.get b 0 <> '\n' then (
      Buffer.add_bytes line b;
      go ())
  in
  go ();
  Buffer.contents line

let rec count_rest c b n =
  match D.read c b 0 (Bytes.length b) with 0 -> n | k -> count_rest c b (n + k)

let rec echo c b =
  match D.read c b 0 (Bytes.length b) with
  | 0 -> ()
  | n ->
      D.write c b 0 n;
      echo c b

let answer c =
  match String.split_on_char ' ' (read_line c) with
  | [ "echo" ] -> echo c (Bytes.create 4096)
  | [ "take"; n ] -> D.write_string c (receive c (int_of_string n) ^ "\n")
  | [ "give"; n ] -> send c (int_of_string n)
  | [ "half" ] -> D.write_string c (string_of_int (count_rest c (Bytes.create 4096) 0) ^ "\n")
  | _ -> D.write_string c "what?\n"

let failure f = match Error.catch f with Ok _ -> "no error" | Result.Error e -> Error.to_string e

let visit address ~halves =
  let with_peer f = Vsock.with_connection address f in
  let echoes text =
    with_peer @@ fun c ->
    D.write_string c ("echo\n" ^ text);
    let b = Bytes.create (String.length text) in
    D.really_read c b 0 (Bytes.length b);
    Bytes.to_string b = text
  in
  Printf.printf "echo %b\n%!" (echoes "a line");
  let taken =
    with_peer @@ fun c ->
    D.write_string c (Printf.sprintf "take %d\n" size);
    send c size;
    read_line c = digest size
  in
  Printf.printf "take %b\n%!" taken;
  let given =
    with_peer @@ fun c ->
    D.write_string c (Printf.sprintf "give %d\n" size);
    receive c size = digest size
  in
  Printf.printf "give %b\n%!" given;
  (if halves then
     let counted =
       with_peer @@ fun c ->
       D.write_string c "half\n";
       send c 100_000;
       D.shutdown c `Send;
       read_line c
     in
     Printf.printf "half %s\n%!" counted);
  let good = ref 0 in
  Task.scope (fun scope ->
      for i = 1 to 100 do
        ignore
          (Task.spawn scope (fun () ->
               if echoes (String.make i 'x' ^ string_of_int i) then incr good))
      done);
  Printf.printf "connections %d\n%!" !good;
  let closed = { address with port = address.port + 1 } in
  Printf.printf "refused: %s\n%!" (failure (fun () -> Vsock.connect closed))

let serve l = Vsock.serve l answer

let () =
  run @@ fun () ->
  match Array.to_list Sys.argv |> List.tl with
  | [ "serve" ] ->
      let l = Vsock.listen ~port () in
      (match Vsock.cid () with
      | Some cid -> Printf.printf "serving at %d:%d\n%!" cid (Vsock.local l).port
      | None -> Printf.printf "serving without a CID\n%!");
      serve l
  | [ "local" ] ->
      let l = Vsock.listen ~cid:Vsock.loopback () in
      let address = Vsock.local l in
      Task.first [ (fun () -> serve l); (fun () -> visit address ~halves:true) ];
      Printf.printf "in use: %s\n%!"
        (failure (fun () -> Vsock.listen ~cid:Vsock.loopback ~port:address.port ()))
  | [ "host"; port ] -> visit { cid = Vsock.host; port = int_of_string port } ~halves:false
  | [ "wait"; port ] ->
      let address = { Vsock.cid = Vsock.host; port = int_of_string port } in
      let ending c =
        D.write_string c "echo\n?";
        let b = Bytes.create 10 in
        let rec go () = if D.read c b 0 10 > 0 then go () in
        if D.read c b 0 1 = 1 then print_endline "connected";
        failure go
      in
      Printf.printf "ended: %s\n%!" (Vsock.with_connection address ending);
      Printf.printf "again: %s\n%!" (failure (fun () -> Vsock.connect address))
  | _ -> print_endline "usage: sockets serve|local|host PORT|wait PORT"
