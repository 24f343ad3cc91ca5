(** Families of metrics by name. Private to [soil.metrics]. *)

(** Kinds of families: the types of OpenMetrics. *)
type kind = Counter | Gauge | Histogram | Info

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

type t

val create : unit -> t

val with_machine : (unit -> family list) -> t
(** [with_machine read] is a registry that includes the families of [read ()]. Their names begin
    with [soil_], [ocaml_gc_] or [process_], which others can't use. *)

val add : t -> family -> unit
(** [add registry family] registers it. Raises [Invalid_argument] if one of its names is invalid in
    OpenMetrics, or if the family's name, or one of its samples', is in use or reserved. *)

val families : t -> family list
(** [families registry] is all families in the order of registration, followed by the machine's. *)
