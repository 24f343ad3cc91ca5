(** Orders: each is placed once, however often it is sent. *)

type line = { product : int; quantity : int }
(** The type for lines of an order. *)

type lines
(** The type for lines of a valid form. *)

val lines : line list -> (lines, string) result
(** [lines l] is 1 to 20 lines of different products, of each 1 to 100. The error says what is
    wrong. *)

type key
(** The type for keys that clients choose, one for each order. *)

val key : string -> key option
(** [key s] is [s], if it has 1 to 64 printable characters of ASCII. *)

type t = {
  id : int;
  total : int;  (** In cents. *)
  confirmed : bool;  (** The customer's confirmation was delivered: see {!Outbox}. *)
}
(** The type for orders. *)

(** {1:placing Placing} *)

type placed = New of t | Repeated of t  (** An earlier call with the same key has placed it. *)

type refusal =
  | Not_in_stock of line  (** Of this product there are fewer, or it is unknown. *)
  | Key_reused  (** An order with other lines has this key. *)

val place : Database.t -> account:Accounts.t -> key:key -> lines -> (placed, refusal) result
(** [place db ~account ~key lines] places an order and takes it from the stock, in one transaction:
    both are durable when it returns. After a refusal nothing has changed. After
    {!Database.Unavailable} call it again with the same [key], on any machine. Waits. *)

(** {1:lists Lists} *)

val of_account : Database.t -> Accounts.t -> t list
(** [of_account db a] is the last 50 orders of [a], the newest first. Waits. Raises as
    {!Database.query}. *)

val find : Database.t -> int -> (t * string) option
(** [find db id] is the order [id] and the name of its account. Waits. Raises as {!Database.query}.
*)

val after : Database.t -> int -> (t * string) list
(** [after db id] is the first 100 orders with a number greater than [id], with the names of their
    accounts. An order whose transaction is under way is missing, also if there are greater numbers.
    Waits. Raises as {!Database.query}. *)
