type registry = Registry.t

let default = Registry.with_machine Machine.families
let registry = Registry.create
let refuse name reason = invalid_arg ("Soil_metrics: " ^ name ^ ": " ^ reason)

(* For what tasks of several domains count. *)
module Guard = Soil.Private.Guard

(* The members of a family, by the values of their labels. The table is replaced by a larger one:
   tasks of other domains read it. *)
type 'm members = {
  name : string;
  label_count : int;
  limit : int;
  table : (string list, 'm) Hashtbl.t Atomic.t;
  make : unit -> 'm;
}

let max_label_sets = 100

let members name label_names limit make =
  if limit < 1 then refuse name "max_label_sets is less than 1";
  let label_count = List.length label_names in
  { name; label_count; limit; table = Atomic.make (Hashtbl.create 8); make }

let rec member members values =
  let table = Atomic.get members.table in
  match Hashtbl.find_opt table values with
  | Some m -> m
  | None -> (
      if List.compare_length_with values members.label_count <> 0 then
        refuse members.name ("it has " ^ string_of_int members.label_count ^ " labels");
      let is_full = Hashtbl.length table >= members.limit in
      let own = if is_full then List.map (fun _ -> "overflow") values else values in
      match Hashtbl.find_opt table own with
      | Some m -> m
      | None ->
          let m = members.make () and larger = Hashtbl.copy table in
          Hashtbl.replace larger own m;
          if Atomic.compare_and_set members.table table larger then m else member members values)

let register registry name help kind label_names read =
  Registry.add registry { name; help; kind; label_names; read }

let family ?(registry = default) ?(limit = max_label_sets) ~label_names ~help ~make ~read kind name
    =
  let members = members name label_names limit make in
  let read () =
    Hashtbl.fold (fun values m all -> (values, read m) :: all) (Atomic.get members.table) []
  in
  register registry name help kind label_names read;
  members

let single ?registry ~help ~make ~read kind name =
  member (family ?registry ~label_names:[] ~help ~make ~read kind name) []

module Number = struct
  (* A record of one float: it is changed in place. *)
  type cell = { mutable value : float }
  type t = { cell : cell; guard : Guard.t }
  type family = t members

  let make () = { cell = { value = 0. }; guard = Guard.create () }
  let read t = Registry.Number t.cell.value
  let v kind ?registry ~help name = single ?registry ~help ~make ~read kind name

  let v_labels kind ?registry ?max_label_sets ~label_names ~help name =
    family ?registry ?limit:max_label_sets ~label_names ~help ~make ~read kind name

  let labels = member
  let value t = t.cell.value

  let add t x =
    Guard.enter t.guard;
    t.cell.value <- t.cell.value +. x;
    Guard.leave t.guard

  let inc_one t = add t 1.
end

module Counter = struct
  include Number

  let v ?registry = v Registry.Counter ?registry
  let v_labels ?registry = v_labels Registry.Counter ?registry

  let inc t x =
    if not (x >= 0.) then invalid_arg "Soil_metrics.Counter.inc: a negative number, or none";
    add t x
end

module Gauge = struct
  include Number

  let v ?registry = v Registry.Gauge ?registry
  let v_labels ?registry = v_labels Registry.Gauge ?registry

  let set t x =
    Guard.enter t.guard;
    t.cell.value <- x;
    Guard.leave t.guard

  let inc = add
  let dec_one t = add t (-1.)

  let track t f =
    inc_one t;
    Fun.protect ~finally:(fun () -> dec_one t) f
end

module Histogram = struct
  type sum = { mutable total : float }
  type t = { bounds : float array; counts : int array; sum : sum; guard : Guard.t }
  type family = t members

  let durations = [ 0.005; 0.01; 0.025; 0.05; 0.1; 0.25; 0.5; 1.; 2.5; 5.; 10. ]

  let check name bounds =
    let rec rising = function a :: (b :: _ as rest) -> a < b && rising rest | _ -> true in
    if not (List.for_all Float.is_finite bounds && rising bounds) then
      refuse name "bounds are finite numbers that rise"

  let make bounds () =
    let bounds = Array.of_list bounds in
    let counts = Array.make (Array.length bounds + 1) 0 in
    { bounds; counts; sum = { total = 0. }; guard = Guard.create () }

  let read { bounds; counts; sum; guard = _ } =
    Registry.Distribution { bounds; counts = Array.copy counts; sum = sum.total }

  let v ?registry ?(bounds = durations) ~help name =
    check name bounds;
    single ?registry ~help ~make:(make bounds) ~read Registry.Histogram name

  let v_labels ?registry ?max_label_sets ?(bounds = durations) ~label_names ~help name =
    check name bounds;
    let make = make bounds in
    family ?registry ?limit:max_label_sets ~label_names ~help ~make ~read Registry.Histogram name

  let labels = member

  let observe t x =
    let rec bucket i =
      if i = Array.length t.bounds || x <= t.bounds.(i) then i else bucket (i + 1)
    in
    let i = bucket 0 in
    Guard.enter t.guard;
    t.counts.(i) <- t.counts.(i) + 1;
    if not (Float.is_nan x) then t.sum.total <- t.sum.total +. x;
    Guard.leave t.guard

  let time t f =
    let start = Soil.Clock.monotonic_ns () in
    Fun.protect f ~finally:(fun () ->
        observe t (float_of_int (Soil.Clock.monotonic_ns () - start) /. 1e9))

  let count t = Array.fold_left ( + ) 0 t.counts
  let sum t = t.sum.total
end

let collect ?(registry = default) ?(label_names = []) ~help kind name read =
  let kind =
    match kind with
    | `Counter -> Registry.Counter
    | `Gauge -> Registry.Gauge
    | `Info -> Registry.Info
  in
  let count = List.length label_names in
  let sample (values, x) =
    if List.compare_length_with values count <> 0 then
      refuse name ("it has " ^ string_of_int count ^ " labels");
    (values, Registry.Number x)
  in
  register registry name help kind label_names (fun () -> List.map sample (read ()))

module Family = struct
  type kind = Registry.kind = Counter | Gauge | Histogram | Info

  type value = Registry.value =
    | Number of float
    | Distribution of { bounds : float array; counts : int array; sum : float }

  type t = Registry.family = {
    name : string;
    help : string;
    kind : kind;
    label_names : string list;
    read : unit -> (string list * value) list;
  }
end

let families ?(registry = default) () = Registry.families registry

type format = Exposition.format = Open_metrics | Prometheus

let to_string ?registry format = Exposition.write format (families ?registry ())

let content_type = function
  | Open_metrics -> "application/openmetrics-text; version=1.0.0; charset=utf-8"
  | Prometheus -> "text/plain; version=0.0.4; charset=utf-8"

let page ?registry ?accept () =
  let format = Exposition.accepted accept in
  (content_type format, to_string ?registry format)
