(** Transfers between accounts: each read of all accounts has the same sum. It detects transactions
    that others see in parts, lost updates, and transfers that happen twice on one side. *)

type operation =
  | Read  (** of all accounts *)
  | Transfer of { source : string; target : string; amount : int }

type result =
  | Balances of (string * int) list  (** of [Read], in any order *)
  | Transferred
  | Refused  (** a transfer that the source's balance doesn't allow *)

val check :
  ?overdraft:bool -> accounts:(string * int) list -> (operation, result) History.t -> Verdict.t
(** [check ~accounts history] is [Invalid] if a read has other accounts than [accounts], has another
    sum than their initial balances, or, without [overdraft] (default [false]), has a negative
    balance. [Undecided] if no read returned. *)
