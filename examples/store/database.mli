(** PostgreSQL: a pool of connections, statements, transactions.

    {[
      let by_id = Database.statement "select name from products where id = $1"

      let name db id =
        match Database.query db by_id [ string_of_int id ] with
        | [ [ name ] ] -> Some name
        | _ -> None
    ]} *)

type t
(** The type for databases. *)

exception Unavailable of string
(** The database can't be reached, is too busy, or has ended the transaction, with the reason. A
    transaction that was under way may have been committed or not: repeat it only if that is safe.
*)

val create : ?name:string -> ?max_connections:int -> Soil.Task.scope -> Uri.t -> t
(** [create scope uri] is the database at [uri], such as
    [postgresql://user:password@10.0.0.5:5432/shop]. It opens connections when they are needed, at
    most [max_connections] (default: 10), and closes them at the end of [scope]. Their state is in
    the metrics, as the pool [name] (default: ["database"]). Doesn't wait. *)

(** {1:statements Statements} *)

type statement
(** The type for statements with parameters [$1], [$2], … *)

val statement : string -> statement
(** [statement sql] is for the top of a module: each connection prepares it before its first use. *)

type row = string list
(** The type for rows. No column of the store is NULL. *)

val query : t -> statement -> string list -> row list
(** [query t s parameters] is the rows of [s], a transaction of its own. Waits. Raises
    {!Unavailable}. Any other exception stays until somebody mends the statement or the database. *)

val forever : name:string -> (unit -> unit) -> 'a
(** [forever ~name step] calls [step] again and again, until it is cancelled. After an error of the
    database, of any kind, it waits a second: an operator may mend it, and the machine serves on
    meanwhile. Of errors in a row the first is a line on standard error, with [name]. Other
    exceptions of [step] are raised. *)

(** {1:transactions Transactions} *)

type transaction
(** The type for transactions, each of which has a connection for itself. *)

val transaction : t -> (transaction -> ('a, 'e) result) -> ('a, 'e) result
(** [transaction t f] is [f transaction]. If that is [Ok _], it is durable when [transaction]
    returns. If it is [Error _], or raises, nothing has changed. Waits, and raises as {!query}. *)

val execute : transaction -> statement -> string list -> row list
(** [execute transaction s parameters] is {!query} in [transaction]. *)
