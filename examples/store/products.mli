(** Products with prices and stock. *)

type t = { id : int; name : string; price : int;  (** In cents. *) stock : int }
(** The type for products. *)

val max_count : int
(** [max_count] is the number of products that the store may have: 1000. *)

val max_price : int
(** [max_price] is 10{^ 9} cents. *)

val max_stock : int
(** [max_stock] is 10{^ 9}. *)

val all : Database.t -> t list
(** [all db] is the products by number. Waits. Raises as {!Database.query}. *)

val after : Database.t -> int -> t list
(** [after db id] is the first 100 products with a number greater than [id]. Waits. Raises as
    {!Database.query}. *)

val add :
  Database.t -> name:string -> price:int -> stock:int -> (t, [ `Invalid of string | `Full ]) result
(** [add db ~name ~price ~stock] is a new product. [`Invalid] says what is wrong: the name has 1 to
    100 bytes of UTF-8 without control characters. [`Full] is for more than {!max_count}. Waits.
    Raises as {!Database.query}. *)

val set_stock : Database.t -> id:int -> int -> (t, [ `Invalid of string | `Unknown ]) result
(** [set_stock db ~id n] is the product [id] with the stock [n]. Waits. Raises as {!Database.query}.
*)
