type t = string

external equal : t -> t -> bool = "caml_string_equal" [@@noalloc]
external compare : t -> t -> int = "caml_string_compare" [@@noalloc]

type endpoint = { address : t; port : int }

let mapped = "\000\000\000\000\000\000\000\000\000\000\255\255"

let octet n =
  if n < 0 || n > 255 then invalid_arg "Soil.Net.v4: not between 0 and 255" else Char.chr n

let v4 a b c d =
  let s = Bytes.create 4 in
  List.iteri (fun i n -> Bytes.set s i (octet n)) [ a; b; c; d ];
  mapped ^ Bytes.unsafe_to_string s

let any = String.make 16 '\000'
let any_v4 = v4 0 0 0 0
let loopback = v4 127 0 0 1

let is_loopback a =
  a = String.make 15 '\000' ^ "\001" || String.starts_with ~prefix:(mapped ^ "\127") a

let is_v4 a = String.starts_with ~prefix:mapped a
let to_octets a = if is_v4 a then String.sub a 12 4 else a

let of_octets s =
  match String.length s with
  | 4 -> mapped ^ s
  | 16 -> s
  | _ -> invalid_arg "Soil.Net.Address.of_octets: neither 4 nor 16 bytes"

(* Text *)

let v4_to_string a =
  let part i = string_of_int (Char.code a.[12 + i]) in
  String.concat "." [ part 0; part 1; part 2; part 3 ]

let group a i = (Char.code a.[2 * i] lsl 8) lor Char.code a.[(2 * i) + 1]

let hexadecimal n =
  let digit i = "0123456789abcdef".[(n lsr (4 * i)) land 15] in
  let rec digits i = if i > 0 && n lsr (4 * i) = 0 then digits (i - 1) else i + 1 in
  let count = digits 3 in
  String.init count (fun i -> digit (count - 1 - i))

(* The first of the longest runs of at least two zero groups (RFC 5952 §4.2): where it starts and
   how long it is. *)
let longest_zeros a =
  let rec run i = if i < 8 && group a i = 0 then 1 + run (i + 1) else 0 in
  let rec go i ((_, best) as found) =
    if i >= 8 then found
    else
      let n = run i in
      go (i + max n 1) (if n > best then (i, n) else found)
  in
  match go 0 (8, 1) with _, 1 -> (8, 0) | found -> found

let groups a first last =
  String.concat ":" (List.init (last - first) (fun i -> hexadecimal (group a (first + i))))

let v6_to_string a =
  match longest_zeros a with
  | _, 0 -> groups a 0 8
  | first, n -> groups a 0 first ^ "::" ^ groups a (first + n) 8

let to_string a = if is_v4 a then v4_to_string a else v6_to_string a

let number ~base ~digits ~largest s =
  let digit = function
    | '0' .. '9' as c -> Char.code c - Char.code '0'
    | 'a' .. 'f' as c -> Char.code c - Char.code 'a' + 10
    | 'A' .. 'F' as c -> Char.code c - Char.code 'A' + 10
    | _ -> base
  in
  let add n c =
    match n with Some n when digit c < base -> Some ((n * base) + digit c) | Some _ | None -> None
  in
  let length = String.length s in
  if length < 1 || length > digits then None
  else
    match String.fold_left add (Some 0) s with
    | Some n when n <= largest -> Some n
    | Some _ | None -> None

let rec all parse = function
  | [] -> Some []
  | s :: rest -> (
      match parse s with
      | None -> None
      | Some v -> ( match all parse rest with None -> None | Some l -> Some (v :: l)))

(* A leading zero would be an octal number to some. *)
let decimal ~digits ~largest s =
  if String.length s > 1 && s.[0] = '0' then None else number ~base:10 ~digits ~largest s

let v4_of_string s =
  match all (decimal ~digits:3 ~largest:255) (String.split_on_char '.' s) with
  | Some [ a; b; c; d ] -> Some (v4 a b c d)
  | Some _ | None -> None

(* Groups of 16 bits; the last may be an IPv4 address, which is two. *)
let rec v6_groups = function
  | [] -> Some []
  | [ last ] when String.contains last '.' -> (
      match v4_of_string last with Some a -> Some [ group a 6; group a 7 ] | None -> None)
  | s :: rest -> (
      match number ~base:16 ~digits:4 ~largest:0xffff s with
      | None -> None
      | Some n -> ( match v6_groups rest with None -> None | Some l -> Some (n :: l)))

let v6_part s = if s = "" then Some [] else v6_groups (String.split_on_char ':' s)

let of_groups l =
  let b = Bytes.create 16 in
  List.iteri (fun i n -> Bytes.set_uint16_be b (2 * i) n) l;
  Bytes.unsafe_to_string b

let double_colon s =
  let rec find i =
    if i + 1 >= String.length s then None
    else if s.[i] = ':' && s.[i + 1] = ':' then Some i
    else find (i + 1)
  in
  find 0

let v6_of_string s =
  match double_colon s with
  | None -> (
      match v6_part s with Some l when List.length l = 8 -> Some (of_groups l) | _ -> None)
  | Some i -> (
      let before = String.sub s 0 i in
      let after = String.sub s (i + 2) (String.length s - i - 2) in
      if String.contains before '.' then None
      else
        match (v6_part before, v6_part after) with
        | Some a, Some b when List.length a + List.length b < 8 ->
            let zeros = List.init (8 - List.length a - List.length b) (fun _ -> 0) in
            Some (of_groups (a @ zeros @ b))
        | _ -> None)

let of_string_opt s = if String.contains s ':' then v6_of_string s else v4_of_string s

(* Endpoints *)

external to_raw : t -> string = "%identity"

let endpoint_length = 18
let endpoint_of_raw b = { address = Bytes.sub_string b 0 16; port = Bytes.get_uint16_be b 16 }

let endpoint_to_raw { address; port } =
  let b = Bytes.create endpoint_length in
  Bytes.blit_string address 0 b 0 16;
  Bytes.set_uint16_be b 16 port;
  Bytes.unsafe_to_string b

let endpoint_to_string { address; port } =
  let host = to_string address in
  (if is_v4 address then host else "[" ^ host ^ "]") ^ ":" ^ string_of_int port

let endpoint_of_string_opt s =
  match String.rindex_opt s ':' with
  | None -> None
  | Some i -> (
      let host = String.sub s 0 i in
      let n = String.length host in
      let address =
        if n > 2 && host.[0] = '[' && host.[n - 1] = ']' then
          v6_of_string (String.sub host 1 (n - 2))
        else v4_of_string host
      in
      let port = String.sub s (i + 1) (String.length s - i - 1) in
      match (address, number ~base:10 ~digits:5 ~largest:65535 port) with
      | Some address, Some port -> Some { address; port }
      | _ -> None)

let check_port operation port =
  if port < 0 || port > 65535 then invalid_arg (operation ^ ": port not between 0 and 65535")
