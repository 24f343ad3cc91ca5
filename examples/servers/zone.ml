(* A zone: its records by name, and the answers to questions (RFC 1034 §4.3.2). *)
open Soil_dns

module Table = Hashtbl.Make (struct
  type t = Name.t

  let equal = Name.equal
  let hash = Name.hash
end)

type t = { origin : Name.t; soa : record; names : record list Table.t }

exception Wrong of string

let wrong fmt = Printf.ksprintf (fun reason -> raise (Wrong reason)) fmt

(* A line is NAME TTL TYPE DATA…; "@" is the origin, and names without a final dot are below it. *)

let number text =
  match int_of_string_opt text with
  | Some n when n >= 0 && n < 1 lsl 31 -> n
  | _ -> wrong "%s isn't a number from 0 to 2^31 - 1" text

let name origin text =
  let text =
    if text = "@" then Name.to_string origin
    else if String.ends_with ~suffix:"." text then text
    else text ^ "." ^ Name.to_string origin
  in
  match Name.of_string text with Ok name -> name | Error reason -> wrong "%s: %s" text reason

let address ~v4 text =
  match Soil.Net.Address.of_string_opt text with
  | Some address when Soil.Net.Address.is_v4 address = v4 -> address
  | _ -> wrong "%s isn't an address of this type" text

let data origin kind words =
  let name = name origin in
  match (String.uppercase_ascii kind, words) with
  | "A", [ a ] -> A (address ~v4:true a)
  | "AAAA", [ a ] -> Aaaa (address ~v4:false a)
  | "NS", [ n ] -> Ns (name n)
  | "CNAME", [ n ] -> Cname (name n)
  | "PTR", [ n ] -> Ptr (name n)
  | "MX", [ preference; n ] -> Mx (number preference, name n)
  | "TXT", (_ :: _ as words) -> Txt [ String.concat " " words ]
  | "SRV", [ priority; weight; port; target ] ->
      let priority = number priority and weight = number weight and port = number port in
      Srv { priority; weight; port; target = name target }
  | "CAA", [ flags; tag; value ] -> Caa { flags = number flags; tag; value }
  | "SOA", [ primary; mailbox; serial; refresh; retry; expire; minimum ] ->
      Soa
        {
          primary = name primary;
          mailbox = name mailbox;
          serial = number serial;
          refresh = number refresh;
          retry = number retry;
          expire = number expire;
          minimum = number minimum;
        }
  | kind, _ -> wrong "not the data of a record %s" kind

let words line =
  let line = match String.index_opt line ';' with Some i -> String.sub line 0 i | None -> line in
  List.filter (( <> ) "") (String.split_on_char ' ' (String.trim line))

let parse_line origin line =
  match words line with
  | [] -> None
  | owner :: ttl :: kind :: rest ->
      Some (record (name origin owner) (number ttl) (data origin kind rest))
  | _ -> wrong "not NAME TTL TYPE DATA"

let records_of zone name = Option.value (Table.find_opt zone.names name) ~default:[]

(* The names above a name exist, too. *)
let rec add_above zone name =
  match Name.parent name with
  | Some above when Name.is_below above zone.origin && not (Table.mem zone.names above) ->
      Table.replace zone.names above [];
      add_above zone above
  | _ -> ()

let add zone (r : record) =
  if not (Name.is_below r.name zone.origin) then
    wrong "%s isn't in the zone" (Name.to_string r.name);
  let there = records_of zone r.name in
  let is_alias (r : record) = match r.data with Cname _ -> true | _ -> false in
  if there <> [] && (is_alias r || List.exists is_alias there) then
    wrong "%s has an alias and other records" (Name.to_string r.name);
  Table.replace zone.names r.name (there @ [ r ]);
  add_above zone r.name

let parse origin text =
  let origin = match Name.of_string origin with Ok o -> o | Error e -> wrong "%s: %s" origin e in
  let record number line =
    try parse_line origin line with Wrong reason -> wrong "line %d: %s" (number + 1) reason
  in
  let lines = String.split_on_char '\n' text in
  let records = List.filter_map Fun.id (List.mapi record lines) in
  match List.filter (fun r -> kind r.data = Kind.soa) records with
  | [ ({ name; _ } as soa) ] when Name.equal name origin ->
      let zone = { origin; soa; names = Table.create 100 } in
      List.iter (add zone) records;
      zone
  | _ -> wrong "a zone has one record SOA, of the name @"

(* Answers *)

let of_kind wanted records = List.filter (fun r -> kind r.data = wanted) records

(* How long its absence may be remembered (RFC 2308 §5). *)
let negative zone =
  match zone.soa.data with
  | Soa { minimum; _ } -> [ { zone.soa with ttl = min minimum zone.soa.ttl } ]
  | _ -> []

(* Addresses of the names in these records, as far as they are in the zone. *)
let addresses zone records =
  let target r =
    match r.data with
    | Ns name | Mx (_, name) | Srv { target = name; _ } -> records_of zone name
    | _ -> []
  in
  let is_address r = kind r.data = Kind.a || kind r.data = Kind.aaaa in
  List.filter is_address (List.concat_map target records)

(* The highest name on the way to [name] that is another server's. *)
let rec delegation zone name =
  if Name.equal name zone.origin then None
  else
    match Option.bind (Name.parent name) (delegation zone) with
    | Some found -> Some found
    | None -> (
        match of_kind Kind.ns (records_of zone name) with [] -> None | found -> Some found)

(* The records of the wildcard for a name that doesn't exist, with that name. *)
let rec wildcard zone name above =
  match Name.parent above with
  | None -> None
  | Some above when not (Table.mem zone.names above) -> wildcard zone name above
  | Some encloser -> (
      match Result.map (Table.find_opt zone.names) (Name.prepend "*" encloser) with
      | Ok (Some records) -> Some (List.map (fun (r : record) -> { r with name }) records)
      | Ok None | Error _ -> None)

(* RFC 8482 §4.2. *)
let instead_of_any name = record name 3600 (Unknown (13, "\007RFC8482\000"))
let max_aliases = 8

let rec resolve zone name wanted found response =
  let answered ?(rcode = Rcode.no_error) ?(authority = []) answers =
    let answers = found @ answers in
    let additional = addresses zone answers in
    { response with rcode; authoritative = true; answers; authority; additional }
  in
  match delegation zone name with
  | Some servers ->
      let additional = addresses zone servers in
      let authoritative = found <> [] in
      { response with authoritative; answers = found; authority = servers; additional }
  | None -> (
      let records =
        match Table.find_opt zone.names name with
        | Some records -> Some records
        | None -> wildcard zone name name
      in
      match records with
      | None -> answered ~rcode:Rcode.name_error ~authority:(negative zone) []
      | Some records when wanted = Kind.any && records <> [] -> answered [ instead_of_any name ]
      | Some [ ({ data = Cname target; _ } as alias) ] when wanted <> Kind.cname ->
          let found = found @ [ alias ] in
          if Name.is_below target zone.origin && List.length found < max_aliases then
            resolve zone target wanted found response
          else { response with authoritative = true; answers = found }
      | Some records -> (
          match of_kind wanted records with
          | [] -> answered ~authority:(negative zone) []
          | records -> answered records))

let answer zone query =
  match query.questions with
  | _ when query.opcode <> 0 -> response ~rcode:Rcode.not_implemented { query with questions = [] }
  | [ { name; kind; class_ } ] ->
      if class_ <> internet || (not (Name.is_below name zone.origin)) || kind = Kind.axfr then
        response ~rcode:Rcode.refused query
      else resolve zone name kind [] (response query)
  | _ -> response ~rcode:Rcode.format_error { query with questions = [] }
