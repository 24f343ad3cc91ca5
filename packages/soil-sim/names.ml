type trouble = { mutable late : int; mutable silent : bool; mutable lies : (string * string) list }
type t = { names : (string, string) Hashtbl.t; trouble : trouble }

let create () = { names = Hashtbl.create 16; trouble = { late = 0; silent = false; lies = [] } }
let address = "10.0.0.254"
let mac = "\x02S\x00\x00\xff\xfe"

let set t name = function
  | Some address -> Hashtbl.replace t.names name address
  | None -> Hashtbl.remove t.names name

let addresses t =
  List.sort compare (Hashtbl.fold (fun name address all -> (name, address) :: all) t.names [])

let trouble t = t.trouble

let bytes_of address =
  let number part = Char.chr (int_of_string part land 255) in
  String.of_seq (Seq.map number (List.to_seq (String.split_on_char '.' address)))

let own = bytes_of address
let u16 n = Printf.sprintf "%c%c" (Char.chr ((n lsr 8) land 255)) (Char.chr (n land 255))
let at16 = String.get_uint16_be

(* RFC 1071; an odd length counts as one with a zero byte. *)
let checksum text =
  let padded = if String.length text land 1 = 1 then text ^ "\000" else text in
  let sum = ref 0 in
  for i = 0 to (String.length padded / 2) - 1 do
    sum := !sum + at16 padded (2 * i)
  done;
  let rec fold sum = if sum > 0xffff then fold ((sum land 0xffff) + (sum lsr 16)) else sum in
  lnot (fold !sum) land 0xffff

let arp frame =
  match Arp.asked frame with
  | Some address when String.equal address own -> Some (Arp.reply ~mac frame)
  | _ -> None

(* The labels of a name from a place on, and the place after it. Questions aren't compressed. *)
let rec labels message at =
  match message.[at] with
  | '\000' -> ([], at + 1)
  | n when Char.code n < 64 ->
      let label = String.sub message (at + 1) (Char.code n) in
      let rest, last = labels message (at + 1 + Char.code n) in
      (label :: rest, last)
  | _ -> invalid_arg "labels"

let type_a = 1
let header = 12

(* The answer to a query. *)
let resolve t message =
  let name, last = labels message header in
  let name = String.lowercase_ascii (String.concat "." name) in
  let question = String.sub message header (last + 4 - header) in
  let known = Hashtbl.find_opt t.names name in
  let address =
    match List.assoc_opt name t.trouble.lies with Some address -> Some address | None -> known
  in
  let answer =
    match address with
    | Some address when at16 message last = type_a ->
        (* A compressed name, type A, class IN, a TTL of 5 s. *)
        Some ("\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04" ^ bytes_of address)
    | _ -> None
  in
  let code = if address = None then 3 else 0 in
  String.concat ""
    [
      String.sub message 0 2;
      u16 (0x8580 lor code);
      u16 1;
      u16 (if answer = None then 0 else 1);
      u16 0;
      u16 0;
      question;
      Option.value answer ~default:"";
    ]

let dns_port = 53

let udp t frame =
  let ip = 14 in
  let udp = ip + (4 * (Char.code frame.[ip] land 15)) in
  let is_query =
    frame.[ip + 9] = '\x11'
    && String.equal (String.sub frame (ip + 16) 4) own
    && at16 frame (udp + 2) = dns_port
  in
  if not is_query then None
  else
    let message = String.sub frame (udp + 8) (at16 frame (udp + 4) - 8) in
    let message = resolve t message in
    let source = String.sub frame (ip + 12) 4 in
    let length = 8 + String.length message in
    let ports = u16 dns_port ^ String.sub frame udp 2 in
    (* Without a checksum, which IPv4 permits (RFC 768). *)
    let datagram = String.concat "" [ ports; u16 length; u16 0; message ] in
    let head sum =
      let words = [ "\x45\x00"; u16 (20 + length); "\x00\x00\x40\x00\x40\x11"; u16 sum ] in
      String.concat "" (words @ [ own; source ])
    in
    Some
      (String.concat ""
         [ String.sub frame 6 6; mac; "\x08\x00"; head (checksum (head 0)); datagram ])

let processing = 100_000

let answer t frame =
  let reply =
    try
      match at16 frame 12 with
      | 0x0806 -> Option.map (fun reply -> (processing, reply)) (arp frame)
      | 0x0800 when String.equal (String.sub frame 0 6) mac && not t.trouble.silent ->
          Option.map (fun reply -> (processing + t.trouble.late, reply)) (udp t frame)
      | _ -> None
    with Invalid_argument _ -> None
  in
  reply
