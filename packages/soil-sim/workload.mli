(** Clients that load the nodes, and the history of what they did. Private to Soil. *)

(** The type for what a client knows of an operation that gave no result. *)
type failure =
  | No_effect  (** It certainly didn't happen. *)
  | Ambiguous  (** It may have happened, or may happen yet. *)

exception Failure of failure
(** {!S.perform} raises it. Any other exception counts as {!Ambiguous}, and the trace has its text.
*)

(** The signature for loads. Its functions run in the process of a client. *)
module type S = sig
  type operation
  type result

  type client
  (** The type for what a client holds, such as a connection. *)

  val connect : number:int -> string list -> client
  (** [connect ~number servers] is the client [number], from 0, of the servers at these IP
      addresses. It runs in a task, and may start others. *)

  val operation : Generate.t -> number:int -> operation
  (** [operation rng ~number] is the next operation of client [number]. *)

  val perform : client -> operation -> result
  (** [perform client operation] carries it out, and waits for the result. *)

  val think : Generate.t -> float
  (** [think rng] are the seconds that a client waits between two operations. *)

  val operation_to_string : operation -> string
  val result_to_string : result -> string
end

(** The type for when the clients of a workload end. *)
type length =
  | Operations of int  (** Each after so many operations. *)
  | Until of int  (** None begins an operation from this virtual time on, in nanoseconds. *)

val start :
  World.t ->
  (module S with type operation = 'o and type result = 'r) ->
  clients:int ->
  length:length ->
  World.node list ->
  (unit -> ('o, 'r) Soil_sim_checkers.History.t) * (unit -> unit)
(** [start world (module W) ~clients ~length servers] adds nodes for the clients. The functions that
    it returns are the history so far, and a check that fails if no operation has returned a result:
    no check of such a history says anything. A client measures {!Until} by its own monotonic clock.
*)
