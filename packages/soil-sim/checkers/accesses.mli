(** Reads and writes of registers whose written values differ, so that each read names its write. *)

type access = {
  op : (Models.Register.operation, Models.Register.result) History.operation;
  key : string;
  value : string option;  (** [None] is read before the first write. *)
  is_write : bool;
  is_certain : bool;  (** [false] for a write that didn't return. *)
}

type t = {
  accesses : access array;  (** Accesses of each client are in the client's order. *)
  source : int option array;  (** For each read the index of its write; [None] for others. *)
}

val of_history :
  checker:string ->
  (Models.Register.operation, Models.Register.result) History.t ->
  (t, string) result
(** [of_history ~checker history] has the reads that returned, and the writes that didn't fail. A
    successful compare-and-set is a read and a write. An error is text about reads of values that no
    operation wrote, or only a failed one. Raises [Invalid_argument], with the name of the checker,
    if two writes to a key have the same value, or an operation deletes a key. *)

val describe : access -> string
