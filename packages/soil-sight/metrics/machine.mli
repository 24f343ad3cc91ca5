(** The metrics of the machine and of Soil. Private to [soil-sight.metrics]. *)

val families : unit -> Registry.family list
(** [families ()] is their current values. Doesn't wait, and starts no part of Soil. *)
