(** Promises of Lwt and tasks of Soil in one program.

    {[
      let () =
        Soil_lwt.run @@ fun () ->
        (* A task waits for Lwt … *)
        let body = Soil_lwt.run_promise (fun () -> fetch_by_lwt "http://192.0.2.1/") in
        (* … and Lwt for a task. *)
        let slow () = Soil_lwt.task (fun () -> Soil.Clock.sleep 1.) in
        Soil_lwt.run_promise (fun () -> Lwt.bind (slow ()) (fun () -> store_by_lwt body))
    ]}

    This library needs Lwt's core alone. Programs that wait by [Lwt_unix] add [soil.lwt.unix] to the
    [libraries] of their dune file: its engine waits for descriptors and timers of Lwt together with
    the tasks, in the same call of the system.

    {b Where Lwt runs.} A task of its own, the {e loop}, runs what Lwt has to run: callbacks of
    promises that were resolved, and of [Lwt.pause]. Other tasks run when the loop waits, and at
    each of its turns. A callback of Lwt must not wait by Soil, as it must not wait by [Unix]: all
    of Lwt would stand still until it returns. {!await} and {!run_promise} notice it; use {!task}
    there.

    {b Cancellation} goes both ways. A task that is cancelled in {!await} cancels the promise by
    [Lwt.cancel]; [Lwt.cancel] of {!task}'s promise cancels the task. A task that was cancelled by
    Soil rejects its promise with [Lwt.Canceled].

    {b Threads.} All this belongs to the program's first thread, as tasks do. *)

val run : (unit -> 'a) -> 'a
(** [run main] is [Soil.run main] with a loop for Lwt, which ends after [main] and all tasks that
    {!task} has started. Promises that are pending then stay so. The exceptions of callbacks go to
    [Lwt.async_exception_hook]. Within [run] it is [main ()]; within [Soil.run] it waits for the end
    of those tasks. *)

val await : 'a Lwt.t -> 'a
(** [await p] waits until [p] is resolved and is its value, or raises its exception. If the task is
    cancelled meanwhile it cancels [p] by [Lwt.cancel], doesn't wait for what that takes, and raises
    [Soil.Task.Cancelled]; [await (Lwt.protected p)] leaves [p] alone. Raises [Invalid_argument] in
    a callback of Lwt, and outside of {!run} if [p] is pending. *)

val run_promise : (unit -> 'a Lwt.t) -> 'a
(** [run_promise f] calls [f ()] in the loop and is {!await} of its promise. Prefer it to
    [await (f ())] for code that may resolve promises at once. *)

val task : (unit -> 'a) -> 'a Lwt.t
(** [task f] starts a task that computes [f ()] and is a promise of its result, which an exception
    of [f] rejects. It may be called in a callback of Lwt and anywhere else within {!run}. The task
    starts when the current one next waits. Raises [Invalid_argument] outside of {!run}. *)

(** {1:driver What the loop waits by} *)

(** For [soil.lwt.unix]. *)
module Driver : sig
  type t = {
    drive : unit Lwt.t -> unit;  (** Runs Lwt until the promise is resolved, in a task. *)
    wake : unit -> unit;  (** Ends the wait of [drive], because there is something to run. *)
  }

  val register : t -> unit
  (** [register d] makes [d] the driver of every later {!run}. *)

  val step : unit -> bool
  (** [step ()] runs what tasks have handed over to the loop; [true] iff there was something. *)
end
