(** Confirmations of orders, which each machine delivers for all.

    {!Orders.place} adds a row for each order in the order's transaction. A machine leases the row
    that is due first, delivers the confirmation, and removes the row. The row of a machine that is
    killed is due again after 30 seconds, and another machine takes it. So a confirmation is
    delivered {e at least once}: its receiver recognises the order's number. *)

val run : Database.t -> deliver:(Orders.t -> name:string -> unit) -> 'a
(** [run db ~deliver] calls [deliver order ~name] for the orders whose confirmation is due, with the
    name of the account. If it raises, or takes more than 10 seconds, it is called again after 2, 4,
    8 … seconds, at most an hour. It lasts until it is cancelled. *)
