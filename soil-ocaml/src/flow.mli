(** Sources and sinks of a program's own: memory, compression, TLS, a double in a test.

    They go wherever a pipe or a connection goes: {!File_descriptor.read} and [write], [copy],
    {!Reader}.

    {[
      (* What comes from [d], in capitals. *)
      let capitals d =
        Soil.Flow.source (fun b off len ->
            let n = Soil.File_descriptor.read d b off len in
            for i = off to off + n - 1 do
              Bytes.set b i (Char.uppercase_ascii (Bytes.get b i))
            done;
            n)
    ]}

    {b Rules} for the functions that a flow is made of, on which the promises of {!File_descriptor}
    rest:

    - [read b off len] and [read_into b off len] wait until there is input, store 1 to [len] bytes
      in [b] from [off] and are their number, or 0 at the end of input, then and at every later
      call. If they raise, cancellation included, they have taken nothing.
    - [write b off len] and [write_from b off len] wait until there is room, take 1 to [len] bytes
      of [b] from [off], and are their number. If they raise they have taken nothing.
    - They are called with a range of [b] and [len > 0], and not after the flow was closed. Calls
      that write are made one at a time. [b] is valid for the length of the call.
    - [shutdown side] and [close ()] don't take back what was written before. [close ()] is called
      once, doesn't wait and doesn't raise; it makes the calls that wait for the flow raise, as
      closing the descriptors below does.

    Any of them may use tasks and wait as other code does; where one does neither, reading and
    writing doesn't let other tasks run but for a bounded number of calls in a row, as with other
    descriptors. A number that isn't allowed raises [Invalid_argument]. *)

type source = [ `Read | `Flow ] File_descriptor.t
(** The type for flows that are read. *)

type sink = [ `Write | `Flow ] File_descriptor.t
(** The type for flows that are written. *)

type t = [ `Read | `Write | `Shutdown | `Flow ] File_descriptor.t
(** The type for flows both ways. *)

type state = Descriptor.state = ..
(** The type for what the maker of a flow keeps with it: each kind of flow adds a case. *)

val source :
  ?name:string ->
  ?state:state ->
  ?read_into:(File_descriptor.buffer -> int -> int -> int) ->
  ?close:(unit -> unit) ->
  (bytes -> int -> int -> int) ->
  source
(** [source read] is a flow that is read by [read], and into bigarrays by [read_into] (default: by
    [read] and a copy). [name] (default: ["flow"]) is its name in messages; [close] does nothing
    unless given. Doesn't wait. *)

val sink :
  ?name:string ->
  ?state:state ->
  ?write_from:(File_descriptor.buffer -> int -> int -> int) ->
  ?close:(unit -> unit) ->
  (bytes -> int -> int -> int) ->
  sink
(** [sink write] is likewise a flow that is written by [write]. *)

val make :
  ?name:string ->
  ?state:state ->
  ?read_into:(File_descriptor.buffer -> int -> int -> int) ->
  ?write_from:(File_descriptor.buffer -> int -> int -> int) ->
  ?close:(unit -> unit) ->
  read:(bytes -> int -> int -> int) ->
  write:(bytes -> int -> int -> int) ->
  shutdown:([ `Receive | `Send | `Both ] -> unit) ->
  unit ->
  t
(** [make ~read ~write ~shutdown ()] is a flow both ways. *)

val state : [> `Flow ] File_descriptor.t -> state option
(** [state f] is the state that [f] was made with, also after it was closed. *)

(** {1:memory In memory} *)

val of_string : string -> source
(** [of_string s] is a flow whose input is [s]. *)

val to_buffer : Buffer.t -> sink
(** [to_buffer b] is a flow that adds to [b] what is written. *)

val pair : ?capacity:int -> unit -> t * t
(** [pair ()] is two flows that are connected to each other like a client and a server, by two
    {!Soil.pipe}s of [capacity] bytes. *)
