(** Bodies of requests. *)

val is_plain : Cohttp.Request.t -> bool
(** [is_plain r] is [true] iff [r] has no body or one whose length it says, which {!read} takes. *)

val read : Http.connection -> Cohttp.Request.t -> max:int -> string
(** [read c r ~max] is the body of [r], the last request that {!Http.request}[ c] returned; waits
    for it.
    @raise Http.Refused
      if it is longer than [max] bytes, isn't there in time, or doesn't say its length first. *)
