let ours, theirs = Unix.socketpair ~cloexec:true PF_UNIX SOCK_SEQPACKET 0

let send words =
  let message = Bytes.create (4 * List.length words) in
  List.iteri (fun i word -> Bytes.set_int32_le message (4 * i) (Int32.of_int word)) words;
  assert (Unix.send ours message 0 (Bytes.length message) [] = Bytes.length message)

let resize ~width ~height = send [ 1; 0; width; height ]
let answer frame = send [ 4; 0; frame; 0 ]
let key code down = send [ 5; 0; (1 lsl 16) lor code; Bool.to_int down ]

let start () =
  Unix.set_nonblock ours;
  resize ~width:320 ~height:200;
  List.iter send [ [ 2; 0; 0 ]; [ 2; 1; 1; 0 ]; [ 3 ] ];
  Unix.putenv "SOIL_DISPLAY" (Printf.sprintf "viewer=%d" (Obj.magic theirs : int))

let longest = 65536

let rec requests () =
  let message = Bytes.create longest in
  match Unix.recv ours message 0 longest [] with
  | length ->
      let word i = Int32.to_int (Bytes.get_int32_le message (4 * i)) in
      let first = List.init (length / 4) word in
      first :: requests ()
  | exception Unix.Unix_error ((EAGAIN | EWOULDBLOCK), _, _) -> []
