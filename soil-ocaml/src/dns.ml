let lookup ?timeout ?(family = `Any) name =
  Lookup.within timeout name (fun () -> Lookup.addresses family name)

type data =
  | Address of Address.t
  | Name of string
  | Service of { priority : int; weight : int; port : int; target : string }
  | Text of string list

type record = { ttl : int; data : data }
type kind = A | Aaaa | Cname | Ptr | Srv | Txt

(* IANA's numbers of the types. *)
let number = function A -> 1 | Cname -> 5 | Ptr -> 12 | Txt -> 16 | Aaaa -> 28 | Srv -> 33

(* More than a message can hold, with the numbers in front of each record. *)
let room = 1 lsl 17

let rec strings data at =
  if at >= String.length data then []
  else
    let n = Char.code data.[at] in
    String.sub data (at + 1) n :: strings data (at + 1 + n)

let data_of kind data =
  match kind with
  | A | Aaaa -> Address (Address.of_octets data)
  | Cname | Ptr -> Name data
  | Txt -> Text (strings data 0)
  | Srv ->
      let number at = String.get_uint16_be data at in
      let target = String.sub data 6 (String.length data - 6) in
      Service { priority = number 0; weight = number 2; port = number 4; target }

let records ?timeout kind name =
  let results = Pool.create room in
  let submit token = Soil_raw_net.dns_query name (number kind) results room token in
  let n = Lookup.within timeout name (fun () -> Lookup.ask name submit) in
  let bytes = Bytes.create n in
  Pool.to_bytes results 0 bytes 0 n;
  let rec read at =
    if at >= n then []
    else
      let ttl = Int32.to_int (Bytes.get_int32_be bytes at) in
      let length = Bytes.get_uint16_be bytes (at + 4) in
      let data = data_of kind (Bytes.sub_string bytes (at + 6) length) in
      { ttl; data } :: read (at + 6 + length)
  in
  read 0

let hex_digit n = "0123456789abcdef".[n]

let reverse_name address =
  let octets = Address.to_octets address in
  let bytes = List.init (String.length octets) (fun i -> Char.code octets.[i]) in
  if Address.is_v4 address then
    List.fold_left (fun name byte -> string_of_int byte ^ "." ^ name) "in-addr.arpa" bytes
  else
    let add name byte =
      let digit n = String.make 1 (hex_digit n) ^ "." in
      digit (byte land 15) ^ digit (byte lsr 4) ^ name
    in
    List.fold_left add "ip6.arpa" bytes

let reverse ?timeout address =
  let name = function { data = Name name; _ } -> Some name | _ -> None in
  List.filter_map name (records ?timeout Ptr (reverse_name address))

let texts ?timeout name =
  let text = function { data = Text strings; _ } -> Some (String.concat "" strings) | _ -> None in
  List.filter_map text (records ?timeout Txt name)

(* RFC 2782: of those with the same priority, each is chosen with a probability in proportion to its
   weight, and those with weight 0 hardly ever before others. *)
let rec by_weight draw = function
  | [] -> []
  | services ->
      let total = List.fold_left (fun sum (weight, _) -> sum + weight) 0 services in
      let drawn = draw (total + 1) in
      let rec choose sum before = function
        | [] -> assert false
        | ((weight, service) as chosen) :: after ->
            if sum + weight >= drawn then service :: by_weight draw (List.rev_append before after)
            else choose (sum + weight) (chosen :: before) after
      in
      choose 0 [] services

let services ?timeout name =
  let service = function
    | { data = Service { priority; weight; port; target }; _ } when target <> "" ->
        Some (priority, (weight, (target, port)))
    | _ -> None
  in
  let all = List.filter_map service (records ?timeout Srv name) in
  let all = Stdlib.List.stable_sort (fun (_, (a, _)) (_, (b, _)) -> compare a b) all in
  let priorities = Stdlib.List.sort_uniq compare (List.map fst all) in
  let of_priority p = List.filter_map (fun (q, s) -> if p = q then Some s else None) all in
  Stdlib.List.concat_map (fun p -> by_weight Random.int (of_priority p)) priorities
