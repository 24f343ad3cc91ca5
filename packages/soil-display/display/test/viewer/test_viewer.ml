let ours = Unix.socket ~cloexec:true PF_UNIX SOCK_STREAM 0

let send bytes =
  let message = Bytes.unsafe_of_string (String.concat "" bytes) in
  let length = Bytes.length message in
  assert (Unix.write ours message 0 length = length)

let byte n = String.make 1 (Char.chr n)
let short n = byte (n lsr 8) ^ byte (n land 255)
let long n = short ((n lsr 16) land 0xffff) ^ short (n land 0xffff)
let request () = send [ byte 3; byte 1; short 0; short 0; short 320; short 200 ]

let resize ~width ~height =
  send [ byte 251; byte 0; short width; short height; byte 1; byte 0; String.make 16 '\000' ]

let key code down = send [ byte 255; byte 0; short (Bool.to_int down); long 0; long code ]

let start () =
  let listener = Unix.socket PF_UNIX SOCK_STREAM 0 in
  let address = Unix.ADDR_UNIX (Printf.sprintf "\000soil-test-%d" (Unix.getpid ())) in
  Unix.bind listener address;
  Unix.listen listener 1;
  Unix.connect ours address;
  Unix.set_nonblock ours;
  (* It accepts changes of the size. *)
  send [ "RFB 003.008\n"; byte 1; byte 1; byte 2; byte 0; short 1; long (-308) ];
  Unix.putenv "SOIL_DISPLAY" (Printf.sprintf "memory=320x200;vnc=%d" (Obj.magic listener : int))

let received = Buffer.create 1000

let rec receive () =
  let bytes = Bytes.create 65536 in
  match Unix.read ours bytes 0 (Bytes.length bytes) with
  | 0 -> failwith "the server has closed the connection"
  | length ->
      Buffer.add_subbytes received bytes 0 length;
      receive ()
  | exception Unix.Unix_error ((EAGAIN | EWOULDBLOCK), _, _) -> ()

(* Version, security types and result, and the display with its name. *)
let after_greeting text = 12 + 2 + 4 + 24 + Int32.to_int (String.get_int32_be text 38)
let place = ref 0

let updates () =
  receive ();
  let text = Buffer.contents received in
  if !place = 0 && text <> "" then place := after_greeting text;
  let rec rectangles left at =
    let side i = String.get_uint16_be text (at + (2 * i)) in
    if left = 0 then updates at
    else
      match Int32.to_int (String.get_int32_be text (at + 8)) with
      | 0 ->
          let area = (side 0, side 1, side 2, side 3) in
          area :: rectangles (left - 1) (at + 12 + (4 * side 2 * side 3))
      | _ -> rectangles (left - 1) (at + 12 + 4 + 16)
  and updates at =
    place := at;
    if at < String.length text then rectangles (String.get_uint16_be text (at + 2)) (at + 4) else []
  in
  updates !place
