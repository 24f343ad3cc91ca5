(** Sets that grow, with reads of all elements, as Jepsen's [set-full] checks them. *)

type operation =
  | Add of string  (** Each element is added by one operation. *)
  | Read  (** of all elements *)

type result = Added | Elements of string list  (** of [Read], in any order *)

type report = {
  lost : string list;
      (** Known elements that the latest reads lack: a read that began when the element was known,
          and after all reads that contain it. *)
  stale : string list;  (** Other known elements that a later read lacked. *)
  never_read : string list;
      (** Elements whose addition returned, in no read, although none is known to lack them. *)
  duplicated : string list;  (** Elements that a read contains more than once. *)
  unexpected : string list;
      (** Elements in a read that no operation added, or only a failed one, or one invoked after the
          read returned. *)
}
(** An element is {e known} when its addition returned, or a read that contains it. *)

val report : (operation, result) History.t -> report
(** [report history] has all elements in increasing order. Raises [Invalid_argument] if two
    operations that didn't fail add one element. *)

val check : ?stale:bool -> (operation, result) History.t -> Verdict.t
(** [check history] is [Invalid] if elements were lost, duplicated, unexpected or, without [stale]
    (default [false]), stale. [Undecided] if additions returned, but no read that began later. *)
