(* HTTP over TLS, as far as curl needs it: GET / is a page of 1 KiB, GET /stream goes on for good,
   and what is PUT is read and dropped. *)

let page = "HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n" ^ String.make 1024 'x'
let stream = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n"

let begins c b =
  let n = Secure.read c b 0 (Bytes.length b) in
  if n = 0 then "" else Bytes.sub_string b 0 (min n 16)

let send c s = Secure.write c (Bytes.unsafe_of_string s) 0 (String.length s)

let rec answer c b =
  match String.split_on_char ' ' (begins c b) with
  | "GET" :: "/stream" :: _ ->
      send c stream;
      while true do
        Secure.write c b 0 (Bytes.length b)
      done
  | "PUT" :: _ ->
      while Secure.read c b 0 (Bytes.length b) > 0 do
        ()
      done
  | "GET" :: _ ->
      send c page;
      answer c b
  | _ -> ()

let () = Secure.serve ~chain:Pem.chain ~key:Pem.key (fun c -> answer c (Bytes.create 65536))
