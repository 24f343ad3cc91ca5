(** Queues with distinct values, whose order doesn't matter: each value that goes in comes out,
    once. {!Linearizable} with {!Models.Queue} checks the order, too. *)

val check : (Models.Queue.operation, Models.Queue.result) History.t -> Verdict.t
(** [check history] is [Invalid] if a value was dequeued twice, or that no operation enqueued, or
    only a failed one, or before the invocation; or if values were lost. A value is lost if its
    operation returned, no operation dequeued it, and a later one found the queue empty. Each
    dequeue of unknown outcome may have taken one value. [Undecided] if values remain that returned
    after the queue was last found empty: drain the queue before the end of the run. Raises
    [Invalid_argument] if two operations that didn't fail enqueue one value. *)
