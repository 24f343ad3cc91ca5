(** Address lookups: the part of {!Dns} used by {!Tcp}. Private to Soil. *)

let most = 256 (* addresses of one name, as many as a message may have *)

(* RFC 1035 §2.3.4, and RFC 1123 §2.1 for the characters; underscores occur in names of
   services. *)
let is_label s =
  let is_allowed = function
    | 'a' .. 'z' | 'A' .. 'Z' | '0' .. '9' | '-' | '_' -> true
    | _ -> false
  in
  let n = String.length s in
  n > 0 && n <= 63 && String.for_all is_allowed s && s.[0] <> '-' && s.[n - 1] <> '-'

let without_root_dot s =
  let n = String.length s in
  if n > 1 && s.[n - 1] = '.' then String.sub s 0 (n - 1) else s

let is_name s =
  let s = without_root_dot s in
  String.length s <= 253 && List.for_all is_label (String.split_on_char '.' s)

let operation = "dns lookup"

(** [ask name submit] is the outcome of the lookup of [name] that [submit token] starts, once the
    network is up. *)
let ask name submit =
  let run = Scheduler.operation ~operation ~subject:name in
  ignore (run (fun token -> Soil_raw_net.net_up token));
  run submit

let servers () =
  let b = Bytes.create 256 in
  let n = Soil_raw_net.dns_servers b (Bytes.length b) in
  if n > 0 then " from " ^ Bytes.sub_string b 0 n else ", and no name server is known"

(** [within (Some s) name f] is [f ()], a lookup of [name], and raises [Timed_out] with [name] and
    the name servers after [s] seconds; [within None name f] is [f ()]. *)
let within timeout name f =
  let fail s =
    let detail = "no answer in " ^ Text.number s ^ " s" ^ servers () in
    Error.fail Timed_out operation ~subject:name ~detail
  in
  Deadline.within ~fail timeout f

let query family name =
  let number = match family with `Any -> 0 | `V4 -> 4 | `V6 -> 6 in
  let results = Pool.create (16 * most) in
  let n = ask name (fun token -> Soil_raw_net.dns_lookup name number results (16 * most) token) in
  let address i =
    let b = Bytes.create 16 in
    Pool.to_bytes results (16 * i) b 0 16;
    Address.of_octets (Bytes.unsafe_to_string b)
  in
  List.init (min n most) address

let suits family a =
  match family with `Any -> true | `V4 -> Address.is_v4 a | `V6 -> not (Address.is_v4 a)

let none name =
  Error.fail No_such_host operation ~subject:name ~detail:"no address of the family asked for"

let addresses family name =
  match Address.of_string_opt name with
  | Some a -> if suits family a then [ a ] else none name
  | None when String.lowercase_ascii name = "localhost" && suits family Address.loopback ->
      [ Address.loopback ]
  | None -> (
      if not (is_name name) then invalid_arg ("Soil.Dns.lookup: not a name of a host: " ^ name);
      match query family name with [] -> none name | l -> l)

let length = 16

(** [reachable_first l] is [l] in the order of RFC 6724, and the number of addresses with a route,
    which come first. *)
let reachable_first addresses =
  let b = Bytes.of_string (String.concat "" (List.map Address.to_raw addresses)) in
  let reachable = Soil_raw_net.net_sort b (Bytes.length b) in
  let reachable = Failure.check ~operation ~subject:"addresses" reachable in
  let address i = Address.of_octets (Bytes.sub_string b (length * i) length) in
  (List.init (List.length addresses) address, reachable)
