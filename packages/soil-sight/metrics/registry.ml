(** Families of metrics by name. Private to [soil-sight.metrics]. *)

type kind =
  | Counter
  | Gauge
  | Histogram
  | Info  (** Kinds of families: the types of OpenMetrics. *)

(** The value of a sample. *)
type value =
  | Number of float
  | Distribution of { bounds : float array; counts : int array; sum : float }
      (** [counts.(i)] is the number of observations up to [bounds.(i)] that aren't in an earlier
          bucket; the last count is of those above all bounds. *)

type family = {
  name : string;  (** With [_total] for a counter, [_info] for an [Info]. *)
  help : string;
  kind : kind;
  label_names : string list;
  read : unit -> (string list * value) list;  (** Label values, and the sample's value. *)
}

(* [names]: of families and of samples, which share one space. *)
type t = {
  mutable families : family list;
  names : (string, unit) Hashtbl.t;
  machine : (unit -> family list) option;
}

let create_with machine = { families = []; names = Hashtbl.create 64; machine }
let create () = create_with None

(** [with_machine read] is a registry that includes the families of [read ()]. Their names begin
    with [soil_], [ocaml_gc_] or [process_], which others can't use. *)
let with_machine read = create_with (Some read)

(** [families registry] is all families in the order of registration, followed by the machine's. *)
let families registry =
  let machine = match registry.machine with None -> [] | Some read -> read () in
  List.rev_append registry.families machine

let reserved = [ "soil_"; "ocaml_gc_"; "process_" ]

let is_name name =
  let letter = function 'a' .. 'z' | 'A' .. 'Z' | '_' -> true | _ -> false in
  let part c = letter c || match c with '0' .. '9' -> true | _ -> false in
  name <> "" && letter name.[0] && String.for_all part name

let suffix = function Counter -> "_total" | Info -> "_info" | Gauge | Histogram -> ""

let base family =
  match suffix family.kind with
  | "" -> family.name
  | suffix -> String.sub family.name 0 (String.length family.name - String.length suffix)

let names family =
  let base = base family in
  match family.kind with
  | Counter -> [ base; base ^ "_total"; base ^ "_created" ]
  | Info -> [ base; base ^ "_info" ]
  | Gauge -> [ base ]
  | Histogram -> base :: List.map (( ^ ) base) [ "_bucket"; "_count"; "_sum"; "_created" ]

let refuse name reason = invalid_arg ("Soil_metrics: " ^ name ^ ": " ^ reason)

let check_label family name =
  if not (is_name name) then refuse family.name ("not a label's name: " ^ String.escaped name);
  if String.starts_with ~prefix:"__" name then
    refuse family.name ("labels that begin with __ are reserved: " ^ name);
  if family.kind = Histogram && name = "le" then refuse family.name "le is the buckets' own label"

(** [add registry family] registers it. Raises [Invalid_argument] if one of its names is invalid in
    OpenMetrics, or if the family's name, or one of its samples', is in use or reserved. *)
let add registry family =
  let { name; kind; label_names; _ } = family in
  if not (is_name name) then
    refuse (String.escaped name) "a name is of letters, digits and _, and begins with no digit";
  let ends = suffix kind in
  if not (String.ends_with ~suffix:ends name && name <> ends) then
    refuse name ("the name of a counter ends in " ^ ends);
  List.iter (check_label family) label_names;
  if List.compare_lengths (List.sort_uniq compare label_names) label_names <> 0 then
    refuse name "a label is named twice";
  let is_reserved prefix = registry.machine <> None && String.starts_with ~prefix name in
  Option.iter
    (fun prefix -> refuse name ("names that begin with " ^ prefix ^ " are the machine's"))
    (List.find_opt is_reserved reserved);
  let names = names family in
  List.iter
    (fun sample -> if Hashtbl.mem registry.names sample then refuse name (sample ^ " is in use"))
    names;
  List.iter (fun sample -> Hashtbl.replace registry.names sample ()) names;
  registry.families <- family :: registry.families
