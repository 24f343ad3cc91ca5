(** Families of metrics by name. Private to [soil.metrics]. *)

(** Kinds of families: the types of OpenMetrics. *)
type kind = Counter | Gauge | Histogram | Info

(** The value of a sample. *)
type value =
  | Number of float
  | Distribution of { bounds : float array; counts : int array; sum : float }
      (** [counts.(i)] is the number of observations of at most [bounds.(i)] that are in no bucket
          before; the last count is of those above all bounds. *)

type family = {
  name : string;  (** With [_total] if it is a counter, [_info] if it is an [Info]. *)
  help : string;
  kind : kind;
  label_names : string list;
  read : unit -> (string list * value) list;  (** Values of the labels, and of the sample. *)
}

type t

val create : unit -> t

val with_machine : (unit -> family list) -> t
(** [with_machine read] is a registry that has the families of [read ()], too. Their names begin
    with [soil_], [ocaml_gc_] or [process_], which are refused to all others. *)

val add : t -> family -> unit
(** [add registry family] registers it. Raises [Invalid_argument] if a name in it isn't one of
    OpenMetrics, or if the family's name, or that of one of its samples, is in use or reserved. *)

val families : t -> family list
(** [families registry] is all of them, in the order of their registration, with the machine's
    behind them. *)
