exception Malformed of string

let malformed reason = raise_notrace (Malformed reason)

module Name = struct
  type t = string list (* Labels, the leftmost first. *)

  let root = []
  let labels name = name
  let length name = List.fold_left (fun n label -> n + 1 + String.length label) 1 name

  let of_labels labels =
    let is_label l = l <> "" && String.length l <= 63 in
    if not (List.for_all is_label labels) then Error "a label is empty or longer than 63 bytes"
    else if length labels > 255 then Error "the name is longer than 255 bytes"
    else Ok labels

  let is_digit c = c >= '0' && c <= '9'

  (* RFC 1035 §5.1. *)
  let split text =
    let n = String.length text and label = Buffer.create 16 in
    let rec go i labels =
      if i = n then
        Ok (List.rev (if Buffer.length label = 0 then labels else Buffer.contents label :: labels))
      else
        match text.[i] with
        | '.' when Buffer.length label = 0 -> Error "an empty label"
        | '.' ->
            let l = Buffer.contents label in
            Buffer.clear label;
            go (i + 1) (l :: labels)
        | '\\'
          when i + 3 < n && is_digit text.[i + 1] && is_digit text.[i + 2] && is_digit text.[i + 3]
          ->
            let code = int_of_string (String.sub text (i + 1) 3) in
            if code > 255 then Error "an escape beyond \\255"
            else (
              Buffer.add_char label (Char.chr code);
              go (i + 4) labels)
        | '\\' when i + 1 < n && not (is_digit text.[i + 1]) ->
            Buffer.add_char label text.[i + 1];
            go (i + 2) labels
        | '\\' -> Error "an incomplete escape"
        | c ->
            Buffer.add_char label c;
            go (i + 1) labels
    in
    go 0 []

  let of_string text = if text = "." then Ok root else Result.bind (split text) of_labels

  let v text =
    match of_string text with
    | Ok name -> name
    | Error reason -> invalid_arg ("Soil_dns.Name.v: " ^ text ^ ": " ^ reason)

  let escape label =
    let b = Buffer.create (String.length label) in
    let add c =
      if c = '.' || c = '\\' then (
        Buffer.add_char b '\\';
        Buffer.add_char b c)
      else if c > ' ' && c < '\127' then Buffer.add_char b c
      else Buffer.add_string b (Printf.sprintf "\\%03d" (Char.code c))
    in
    String.iter add label;
    Buffer.contents b

  let to_string = function
    | [] -> "."
    | labels -> String.concat "" (List.map (fun label -> escape label ^ ".") labels)

  let lower name = List.map String.lowercase_ascii name
  let equal a b = List.equal String.equal (lower a) (lower b)

  (* RFC 4034 §6.1: by the labels from the right. *)
  let compare a b = List.compare String.compare (List.rev (lower a)) (List.rev (lower b))
  let hash name = Hashtbl.hash (String.concat "." (lower name))
  let parent = function [] -> None | _ :: above -> Some above
  let prepend label name = of_labels (label :: name)

  let rec is_below name zone =
    let extra = List.length name - List.length zone in
    extra >= 0 && if extra = 0 then equal name zone else is_below (List.tl name) zone
end

module Kind = struct
  let a = 1
  let ns = 2
  let cname = 5
  let soa = 6
  let ptr = 12
  let mx = 15
  let txt = 16
  let aaaa = 28
  let srv = 33
  let opt = 41
  let axfr = 252
  let any = 255
  let caa = 257
end

module Rcode = struct
  let no_error = 0
  let format_error = 1
  let server_failure = 2
  let name_error = 3
  let not_implemented = 4
  let refused = 5
  let bad_version = 16
end

type soa = {
  primary : Name.t;
  mailbox : Name.t;
  serial : int;
  refresh : int;
  retry : int;
  expire : int;
  minimum : int;
}

type data =
  | A of Soil.Net.address
  | Aaaa of Soil.Net.address
  | Ns of Name.t
  | Cname of Name.t
  | Ptr of Name.t
  | Mx of int * Name.t
  | Txt of string list
  | Srv of { priority : int; weight : int; port : int; target : Name.t }
  | Soa of soa
  | Caa of { flags : int; tag : string; value : string }
  | Unknown of int * string

type record = { name : Name.t; class_ : int; ttl : int; data : data }
type question = { name : Name.t; kind : int; class_ : int }
type edns = { udp_size : int; version : int; dnssec_ok : bool; options : (int * string) list }

type message = {
  id : int;
  is_response : bool;
  opcode : int;
  authoritative : bool;
  truncated : bool;
  recursion_desired : bool;
  recursion_available : bool;
  authentic_data : bool;
  checking_disabled : bool;
  rcode : int;
  questions : question list;
  answers : record list;
  authority : record list;
  additional : record list;
  edns : edns option;
}

let internet = 1
let max_length = 65535
let record name ttl data = { name; class_ = internet; ttl; data }

let kind = function
  | A _ -> Kind.a
  | Aaaa _ -> Kind.aaaa
  | Ns _ -> Kind.ns
  | Cname _ -> Kind.cname
  | Ptr _ -> Kind.ptr
  | Mx _ -> Kind.mx
  | Txt _ -> Kind.txt
  | Srv _ -> Kind.srv
  | Soa _ -> Kind.soa
  | Caa _ -> Kind.caa
  | Unknown (kind, _) -> kind

let query ?(id = 0) ?(recursion_desired = true) ?edns name kind =
  {
    id;
    is_response = false;
    opcode = 0;
    authoritative = false;
    truncated = false;
    recursion_desired;
    recursion_available = false;
    authentic_data = false;
    checking_disabled = false;
    rcode = Rcode.no_error;
    questions = [ { name; kind; class_ = internet } ];
    answers = [];
    authority = [];
    additional = [];
    edns;
  }

let response ?(rcode = Rcode.no_error) query =
  {
    query with
    is_response = true;
    authoritative = false;
    truncated = false;
    recursion_available = false;
    authentic_data = false;
    rcode;
    answers = [];
    authority = [];
    additional = [];
    edns = None;
  }

(* Decoding *)

type reader = { text : string; mutable at : int; limit : int }

let need r n = if r.at + n > r.limit then malformed "it ends too early"

let u8 r =
  need r 1;
  r.at <- r.at + 1;
  Char.code r.text.[r.at - 1]

let u16 r =
  need r 2;
  r.at <- r.at + 2;
  String.get_uint16_be r.text (r.at - 2)

let u32 r =
  let high = u16 r in
  (high lsl 16) lor u16 r

let bytes r n =
  need r n;
  r.at <- r.at + n;
  String.sub r.text (r.at - n) n

let rest r = bytes r (r.limit - r.at)

(* More than labels in a name. *)
let max_pointers = 127

(* A pointer leads to before the place where this part of the name begins: so there is no loop. *)
let name r =
  let rec go r labels length ~start ~pointers =
    match u8 r with
    | 0 -> (List.rev labels, r.at)
    | n when n < 64 ->
        let length = length + n + 1 in
        if length > 255 then malformed "a name is longer than 255 bytes";
        go r (bytes r n :: labels) length ~start ~pointers
    | n when n >= 192 ->
        let target = ((n land 63) lsl 8) lor u8 r in
        let after = r.at in
        if target >= start then malformed "a compressed name doesn't point backwards";
        if pointers = max_pointers then malformed "a name has too many pointers";
        let at_target = { r with at = target } in
        let name, _ = go at_target labels length ~start:target ~pointers:(pointers + 1) in
        (name, after)
    | _ -> malformed "an unknown kind of label"
  in
  let name, after = go r [] 1 ~start:r.at ~pointers:0 in
  r.at <- after;
  name

let character_string r =
  let n = u8 r in
  bytes r n

let address r n =
  match Soil.Net.Address.of_octets (bytes r n) with
  | address -> address
  | exception Invalid_argument reason -> malformed reason

let rec list r read =
  if r.at < r.limit then
    let x = read r in
    x :: list r read
  else []

let soa r =
  let primary = name r in
  let mailbox = name r in
  let serial = u32 r in
  let refresh = u32 r in
  let retry = u32 r in
  let expire = u32 r in
  let minimum = u32 r in
  { primary; mailbox; serial; refresh; retry; expire; minimum }

let data r = function
  | 1 -> A (address r 4)
  | 28 -> Aaaa (address r 16)
  | 2 -> Ns (name r)
  | 5 -> Cname (name r)
  | 12 -> Ptr (name r)
  | 15 ->
      let preference = u16 r in
      Mx (preference, name r)
  | 16 -> (
      match list r character_string with
      | [] -> malformed "a TXT record without a string"
      | strings -> Txt strings)
  | 33 ->
      let priority = u16 r in
      let weight = u16 r in
      let port = u16 r in
      Srv { priority; weight; port; target = name r }
  | 6 -> Soa (soa r)
  | 257 ->
      let flags = u8 r in
      let tag = character_string r in
      Caa { flags; tag; value = rest r }
  | kind -> Unknown (kind, rest r)

type entry = Record of record | Options of edns * int (* the upper bits of the rcode *)

let option r =
  let code = u16 r in
  let n = u16 r in
  (code, bytes r n)

let entry r =
  let owner = name r in
  let kind = u16 r in
  let class_ = u16 r in
  let high = u16 r in
  let low = u16 r in
  let n = u16 r in
  need r n;
  let inner = { r with limit = r.at + n } in
  r.at <- r.at + n;
  let whole v = if inner.at < inner.limit then malformed "data behind a record's" else v in
  if kind = Kind.opt then (
    if owner <> Name.root then malformed "an OPT record with a name";
    let options = list inner option in
    let edns =
      {
        udp_size = max 512 class_;
        version = high land 255;
        dnssec_ok = low land 0x8000 <> 0;
        options;
      }
    in
    Options (edns, high lsr 8))
  else
    let ttl = (high lsl 16) lor low in
    (* RFC 2181 §8. *)
    let ttl = if ttl >= 1 lsl 31 then 0 else ttl in
    let data = if class_ = internet then whole (data inner kind) else Unknown (kind, rest inner) in
    Record { name = owner; class_; ttl; data }

let rec repeat n read =
  if n = 0 then []
  else
    let x = read () in
    x :: repeat (n - 1) read

let records entries =
  let one = function
    | Record record -> record
    | Options _ -> malformed "an OPT record outside of the additional section"
  in
  List.map one entries

let question r =
  let name = name r in
  let kind = u16 r in
  { name; kind; class_ = u16 r }

let message text =
  let r = { text; at = 0; limit = String.length text } in
  let id = u16 r in
  let flags = u16 r in
  let questions = u16 r in
  let answers = u16 r in
  let authority = u16 r in
  let additional = u16 r in
  (* No record is shorter; so the numbers name only records that exist. *)
  if (questions * 5) + ((answers + authority + additional) * 11) > r.limit - r.at then
    malformed "fewer records than it says";
  let questions = repeat questions (fun () -> question r) in
  let answers = records (repeat answers (fun () -> entry r)) in
  let authority = records (repeat authority (fun () -> entry r)) in
  let additional = repeat additional (fun () -> entry r) in
  if r.at < r.limit then malformed "bytes behind the last record";
  let options, additional =
    List.partition_map
      (function Options (edns, high) -> Left (edns, high) | Record record -> Right record)
      additional
  in
  let edns, high =
    match options with
    | [] -> (None, 0)
    | [ (edns, high) ] -> (Some edns, high)
    | _ -> malformed "two OPT records"
  in
  let flag bit = flags land (1 lsl bit) <> 0 in
  {
    id;
    is_response = flag 15;
    opcode = (flags lsr 11) land 15;
    authoritative = flag 10;
    truncated = flag 9;
    recursion_desired = flag 8;
    recursion_available = flag 7;
    authentic_data = flag 5;
    checking_disabled = flag 4;
    rcode = (high lsl 4) lor (flags land 15);
    questions;
    answers;
    authority;
    additional;
    edns;
  }

let decode text =
  if String.length text > max_length then Error "it is longer than 65535 bytes"
  else match message text with message -> Ok message | exception Malformed reason -> Error reason

(* Encoding *)

type writer = { buffer : Buffer.t; places : (string, int) Hashtbl.t (* of names, in lower case *) }

let add_u16 w n = Buffer.add_uint16_be w.buffer (n land 0xffff)

let add_u32 w n =
  add_u16 w (n lsr 16);
  add_u16 w n

let add_string w s =
  Buffer.add_uint8 w.buffer (String.length s);
  Buffer.add_string w.buffer s

let rec add_name ?(compress = true) w = function
  | [] -> Buffer.add_uint8 w.buffer 0
  | label :: above as name -> (
      let key =
        String.concat "\000"
          (List.map (fun l -> string_of_int (String.length l) ^ l) (Name.lower name))
      in
      match Hashtbl.find_opt w.places key with
      | Some place when compress -> add_u16 w (0xc000 lor place)
      | found ->
          let place = Buffer.length w.buffer in
          if found = None && place < 0x4000 then Hashtbl.add w.places key place;
          add_string w label;
          add_name ~compress w above)

let check_string s =
  if String.length s > 255 then invalid_arg "Soil_dns.encode: a string is longer than 255 bytes"

let add_data w = function
  | A address | Aaaa address -> Buffer.add_string w.buffer (Soil.Net.Address.to_octets address)
  | Ns name | Cname name | Ptr name -> add_name w name
  | Mx (preference, name) ->
      add_u16 w preference;
      add_name w name
  | Txt strings ->
      List.iter check_string strings;
      List.iter (add_string w) (if strings = [] then [ "" ] else strings)
  | Srv { priority; weight; port; target } ->
      List.iter (add_u16 w) [ priority; weight; port ];
      (* RFC 2782. *)
      add_name ~compress:false w target
  | Soa { primary; mailbox; serial; refresh; retry; expire; minimum } ->
      add_name w primary;
      add_name w mailbox;
      List.iter (add_u32 w) [ serial; refresh; retry; expire; minimum ]
  | Caa { flags; tag; value } ->
      check_string tag;
      Buffer.add_uint8 w.buffer (flags land 255);
      add_string w tag;
      Buffer.add_string w.buffer value
  | Unknown (_, data) -> Buffer.add_string w.buffer data

let patch_u16 b at n = Bytes.set_uint16_be b at n

(* [add ()] preceded by its length. *)
let with_length w patches add =
  let at = Buffer.length w.buffer in
  add_u16 w 0;
  add ();
  let length = Buffer.length w.buffer - at - 2 in
  if length > 65535 then invalid_arg "Soil_dns.encode: the data of a record is too long";
  patches := (at, length) :: !patches

let add_record w patches (record : record) =
  add_name w record.name;
  add_u16 w (kind record.data);
  add_u16 w record.class_;
  add_u32 w record.ttl;
  with_length w patches (fun () -> add_data w record.data)

let add_edns w patches rcode edns =
  Buffer.add_uint8 w.buffer 0;
  add_u16 w Kind.opt;
  add_u16 w edns.udp_size;
  add_u16 w (((rcode lsr 4) lsl 8) lor edns.version);
  add_u16 w (if edns.dnssec_ok then 0x8000 else 0);
  with_length w patches @@ fun () ->
  List.iter
    (fun (code, data) ->
      add_u16 w code;
      add_u16 w (String.length data);
      Buffer.add_string w.buffer data)
    edns.options

let edns_length = function
  | None -> 0
  | Some edns -> List.fold_left (fun n (_, data) -> n + 4 + String.length data) 11 edns.options

(* Adds those of [records] that fit, up to the first that doesn't; whether all did. *)
let rec add_fitting w patches ~max count = function
  | [] -> (count, true)
  | record :: rest ->
      let before = Buffer.length w.buffer and patched = !patches in
      add_record w patches record;
      if Buffer.length w.buffer <= max then add_fitting w patches ~max (count + 1) rest
      else (
        Buffer.truncate w.buffer before;
        patches := patched;
        Hashtbl.filter_map_inplace (fun _ at -> if at < before then Some at else None) w.places;
        (count, false))

let encode ?(max = max_length) m =
  if max < 512 || max > max_length then invalid_arg "Soil_dns.encode: max is out of range";
  let w = { buffer = Buffer.create 512; places = Hashtbl.create 16 } and patches = ref [] in
  for _ = 1 to 6 do
    add_u16 w 0
  done;
  List.iter
    (fun question ->
      add_name w question.name;
      add_u16 w question.kind;
      add_u16 w question.class_)
    m.questions;
  let max = max - edns_length m.edns in
  if Buffer.length w.buffer > max then invalid_arg "Soil_dns.encode: the questions don't fit";
  let answers, whole = add_fitting w patches ~max 0 m.answers in
  let authority, whole = if whole then add_fitting w patches ~max 0 m.authority else (0, false) in
  (* What is missing there is no truncation (RFC 2181 §9). *)
  let additional, _ = if whole then add_fitting w patches ~max 0 m.additional else (0, false) in
  Option.iter (add_edns w patches m.rcode) m.edns;
  let b = Buffer.to_bytes w.buffer in
  List.iter (fun (at, n) -> patch_u16 b at n) !patches;
  let bit n flag = if flag then 1 lsl n else 0 in
  let flags =
    bit 15 m.is_response
    lor ((m.opcode land 15) lsl 11)
    lor bit 10 m.authoritative
    lor bit 9 (m.truncated || not whole)
    lor bit 8 m.recursion_desired lor bit 7 m.recursion_available lor bit 5 m.authentic_data
    lor bit 4 m.checking_disabled lor (m.rcode land 15)
  in
  let options = if m.edns = None then 0 else 1 in
  List.iteri
    (fun i n -> patch_u16 b (2 * i) (n land 0xffff))
    [ m.id; flags; List.length m.questions; answers; authority; additional + options ];
  Bytes.unsafe_to_string b
