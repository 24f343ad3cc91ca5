(** Memory that peers make the program hold.

    What a stranger sends takes memory before the program has decided anything: unfinished heads,
    bodies, frames, parsed values. All servers of the program share one budget for it, a part of the
    machine's memory. {!Tcp.serve} counts each connection, and [soil-http] what it reads; a program
    that collects input of its own counts that with {!hold}.

    {b When it is used up.} {!Tcp.serve} accepts no further connection, and {!hold} waits for room.
    Meanwhile the slowest peers are closed, each after a second at least: idle ones first, then
    those that have sent the beginning of a message, in the order in which they began, and at last
    those for which a handler of {!Tcp.serve} waits in a read or write of their connection without a
    word to this module. Their waits raise {!Task.Cancelled}, and {!run} raises {!Error.Error} with
    [Out_of_memory]. A program's own work is never interrupted. If there is no room within two
    seconds, {!hold} refuses: the newest has to go.

    {b Buffers of TCP} aren't counted here. An image has a quarter of its memory for them; when that
    is used up, as many of the slowest peers are closed as there are new connections without room.

    Counts are estimates. Whatever they say, nothing is held while the machine itself is short of
    memory: then all garbage is collected, at most once a second.

    Functions are for tasks, and do nothing in other threads. *)

(** {1 In a server's handler} *)

val hold : int -> unit
(** [hold n] counts [n] bytes for the peer of this task until its connection ends ([soil-http]:
    until its response was sent), or until {!give_back}. Waits for room for two seconds at most, and
    then raises {!Error.Error} with [Out_of_memory], which [soil-http] answers with 503. In tasks
    without a peer it does nothing. [hold 0] only waits, where more is counted than there is. *)

val give_back : int -> unit
(** [give_back n] gives back [n] of the bytes that {!hold} has counted, or all if there are fewer.
*)

val hold_made : int -> unit
(** [hold_made n] is {!hold}[ n] for bytes that are in memory already: they count while it waits,
    which it doesn't where the machine, or the process's limit, has little memory left. *)

val scratch : ((int -> unit) -> 'a) -> 'a
(** [scratch f] is [f more], which works with memory that it needs until then: [more n] is
    {!hold}[ n], to be called before [n] bytes of it are made. When [f] ends, all of them are given
    back. *)

val receive : (unit -> 'a) -> 'a
(** [receive f] is [f ()], which receives a message of which something has come already. While it
    waits, the peer of this task may be closed for being slow. *)

(** {1 Limits and counts} *)

val limit : unit -> int
(** [limit ()] is the size of the budget in bytes: a sixth of the memory of the machine, or of the
    process's limit (cgroups, [ulimit]), and at least 256 KiB. *)

val set_limit : int -> unit
(** [set_limit n] makes it [n] bytes from now on. Raises [Invalid_argument] if [n] is less than 1.
*)

type statistics = {
  limit : int;
  held : int;  (** Bytes counted now. *)
  peers : int;  (** Connections and other peers now. *)
  waiting : int;  (** Tasks that wait for room now. *)
  refused : int;  (** Refusals so far: no room in time. *)
  evicted : int;  (** Peers closed so far, for being slow. *)
  collections : int;  (** Complete collections so far, because memory was short. *)
}
(** The type for the state of the budget. [soil-sight.metrics] has it as [soil_budget_…]. *)

val statistics : unit -> statistics

(** {1 For protocols} *)

type t
(** The type for what one peer makes the program hold. *)

val create : unit -> t
(** [create ()] is a new peer's, nothing yet. It counts until {!release}. *)

val run : t -> (unit -> 'a) -> 'a
(** [run t f] is [f ()], in which [t] is {!current}, also for tasks that are started there. If the
    peer is closed for being slow, waits of [f] raise {!Task.Cancelled}, and [run] then raises
    {!Error.Error} with [Out_of_memory]: the program may tell the peer, and ends the connection. It
    isn't closed a second time. Calls may be nested; the innermost is the one that ends. *)

val release : t -> unit
(** [release t] gives everything back, for good. *)

val current : unit -> t option
(** [current ()] is the peer of this task. *)

val grow : ?patience:float -> ?wanted:(unit -> bool) -> t -> int -> unit
(** [grow t n] counts [n] more bytes, and waits for room as {!hold} does, for [patience] seconds at
    most (default: 2) and as long as [wanted ()] is [true] (default: always). [grow t 0] waits where
    more is counted than there is. *)

val count : t -> int -> unit
(** [count t n] is [grow t n] for [n] bytes that are in memory already, as {!hold_made} counts them.
    It gives them back if it raises. *)

val note : t -> int -> unit
(** [note t n] is {!count}[ t n] without waiting for room: for few bytes, that come while a task
    reads for others. *)

val grow_now : t -> int -> bool
(** [grow_now t n] counts [n] more bytes if there is room for them, and is [true] if so. It doesn't
    wait, and closes nobody. *)

val grow_if_spare : t -> int -> bool
(** [grow_if_spare t n] counts [n] more bytes if no more than half of the budget is used then, and
    is [true] if so. It doesn't wait, and closes nobody: for what makes a peer faster. *)

val is_refusal : exn -> bool
(** [is_refusal e] is whether {!grow}, {!hold} or {!run} has raised [e] for want of room. *)

val shrink : t -> int -> unit
(** [shrink t n] gives back [n] bytes, or all if there are fewer. *)

val bytes : t -> int
(** [bytes t] is the number counted. *)

val shrink_to : t -> int -> unit
(** [shrink_to t n] is [shrink t (bytes t - n)], and what {!hold} has counted isn't given back any
    more. *)

val awaiting : t -> (unit -> 'a) -> 'a
(** [awaiting t f] is [f ()], a wait for the peer, which may be closed meanwhile. The first call of
    a message is the one from which on the peer's slowness counts. *)

val idle : t -> unit
(** [idle t] notes that the peer has nothing to send now: until {!finished}, it is among the first
    to be closed. *)

val finished : t -> unit
(** [finished t] notes that the peer has sent, or taken, all of a message: the next call of
    {!awaiting} begins another. *)
