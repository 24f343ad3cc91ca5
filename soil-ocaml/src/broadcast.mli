(** Values for all who listen: each subscriber takes each value, in the order of publication.

    {[
      let prices = Soil.Broadcast.create 100

      (* In the task of a client, until the broadcast ends. *)
      let rec follow client subscription =
        match Soil.Broadcast.take subscription with
        | Message price ->
            send client price;
            follow client subscription
        | Missed n ->
            warn client n;
            follow client subscription
        | Ended -> ()

      let serve client =
        Soil.Task.scope @@ fun scope -> follow client (Soil.Broadcast.subscribe scope prices)
    ]}

    A broadcast refers to the last values, up to its capacity, once for all subscribers. Publishing
    never waits: a subscriber that takes too slowly misses values, and learns how many. A cancelled
    {!take} has taken nothing.

    Broadcasts belong to the tasks of the program's first thread; other threads publish by
    {!Inbox.post}. *)

type 'a t
(** The type for broadcasts of ['a]s. *)

val create : int -> 'a t
(** [create capacity] is a broadcast that refers to the last [capacity] values. Raises
    [Invalid_argument] if [capacity < 1]. *)

val publish : 'a t -> 'a -> unit
(** [publish b v] gives [v] to all subscribers. Doesn't wait, and costs the same for each number of
    subscribers, except for waking those that wait. Raises {!Soil.exception-Error} with [Closed]
    after {!close}. *)

val close : 'a t -> unit
(** [close b] ends the broadcast: its subscribers can take what has been published, and then get
    [Ended]. Closing again does nothing. *)

val published : 'a t -> int
(** [published b] is the number of values published so far, which can number them: to continue a
    client's stream after value [n], use [subscribe ~replay:(published b - n)]. *)

val subscribers : 'a t -> int
(** [subscribers b] is the number of its subscriptions. *)

(** {1:subscriptions Subscriptions} *)

type 'a subscription
(** The type for subscriptions to broadcasts of ['a]s. *)

(** The type for what becomes of a subscription whose lag, the number of values that it hasn't
    taken, exceeds its bound. *)
type policy =
  | Drop_oldest  (** It misses the oldest of them, and goes on. *)
  | End_slow  (** It misses all of them, and ends. *)

(** The type for what a subscriber takes. *)
type 'a event =
  | Message of 'a
  | Missed of int  (** So many values, at this place of the stream. *)
  | Ended
      (** By {!close}, by {!unsubscribe}, with its scope, or after [Missed] by [End_slow]. All later
          events are the same. *)

val subscribe :
  ?policy:policy -> ?max_lag:int -> ?replay:int -> Task.scope -> 'a t -> 'a subscription
(** [subscribe scope b] is a subscription to the values published from now on. It ends with [scope].

    - [policy] (default: [Drop_oldest]) is for a lag of more than [max_lag] values (default, and
      most: the capacity).
    - It begins with the last [replay] values published before (default: [0]), or all if there were
      fewer. Those beyond [max_lag] are missed.

    Raises [Invalid_argument] if [max_lag] isn't between 1 and the capacity, if [replay < 0], or if
    [scope] has ended. *)

val take : 'a subscription -> 'a event
(** [take s] waits for the next event of [s]. *)

val poll : 'a subscription -> 'a event option
(** [poll s] is {!take}[ s], or [None] if that would wait. *)

val lag : 'a subscription -> int
(** [lag s] is the number of values that [s] hasn't taken. *)

val unsubscribe : 'a subscription -> unit
(** [unsubscribe s] ends [s]. Ending it again does nothing. *)
