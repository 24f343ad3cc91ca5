(** Descriptors implemented by the program: memory, compression, TLS, test doubles.

    They can replace pipes and connections: in {!File_descriptor.read} and [write], [copy],
    {!Reader}.

    {[
      (* The input from [d], in capitals. *)
      let capitals d =
        Soil.Flow.source (fun b off len ->
            let n = Soil.File_descriptor.read d b off len in
            for i = off to off + n - 1 do
              Bytes.set b i (Char.uppercase_ascii (Bytes.get b i))
            done;
            n)
    ]}

    {b Rules} for the functions of a flow, on which the guarantees of {!File_descriptor} depend:

    - [read b off len] and [read_into b off len] wait until there is input, store 1 to [len] bytes
      in [b] from [off] and are their number, or 0 at the end of input, also in every later call. If
      they raise, also by cancellation, they have consumed nothing.
    - [write b off len] and [write_from b off len] wait until there is room, accept 1 to [len] bytes
      of [b] from [off], and are their number. If they raise they have accepted nothing.
    - They are called with a range of [b] and [len > 0], and not after the flow was closed. Writes
      are called one at a time. [b] is valid during the call.
    - [shutdown side] and [close ()] don't discard data written before. [close ()] is called once,
      doesn't wait and doesn't raise; it makes waiting calls on the flow raise, as closing the
      underlying descriptors does.

    They may use tasks and wait like other code. If they don't, reading and writing lets other tasks
    run only after a bounded number of consecutive calls, as with other descriptors. An invalid
    result raises [Invalid_argument]. *)

type source = [ `Read | `Flow ] File_descriptor.t
(** The type for readable flows. *)

type sink = [ `Write | `Flow ] File_descriptor.t
(** The type for writable flows. *)

type t = [ `Read | `Write | `Shutdown | `Flow ] File_descriptor.t
(** The type for bidirectional flows. *)

type state = Descriptor.state = ..
(** The type for private state of a flow: each kind of flow adds a constructor. *)

val source :
  ?name:string ->
  ?state:state ->
  ?read_into:(File_descriptor.buffer -> int -> int -> int) ->
  ?close:(unit -> unit) ->
  (bytes -> int -> int -> int) ->
  source
(** [source read] is a flow read by [read], and into bigarrays by [read_into] (default: [read] and a
    copy). [name] (default: ["flow"]) is its name in messages; [close] does nothing by default.
    Doesn't wait. *)

val sink :
  ?name:string ->
  ?state:state ->
  ?write_from:(File_descriptor.buffer -> int -> int -> int) ->
  ?close:(unit -> unit) ->
  (bytes -> int -> int -> int) ->
  sink
(** [sink write] is likewise a flow written by [write]. *)

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
(** [make ~read ~write ~shutdown ()] is a bidirectional flow. *)

val state : _ File_descriptor.t -> state option
(** [state f] is the state passed at the creation of [f], also after it was closed; [None] for
    descriptors that aren't flows. *)

(** {1:memory In memory} *)

val of_string : string -> source
(** [of_string s] is a flow with the input [s]. *)

val to_buffer : Buffer.t -> sink
(** [to_buffer b] is a flow that appends written data to [b]. *)

val pair : ?capacity:int -> unit -> t * t
(** [pair ()] is two connected flows, like a client and a server, on two {!Soil.pipe}s of [capacity]
    bytes. *)
