(** Lwt promises and Soil tasks in one program.

    {[
      let () =
        Soil_lwt.run @@ fun () ->
        (* A task waits for Lwt … *)
        let body = Soil_lwt.run_promise (fun () -> fetch_by_lwt "http://192.0.2.1/") in
        (* … and Lwt for a task. *)
        let slow () = Soil_lwt.task (fun () -> Soil.Clock.sleep 1.) in
        Soil_lwt.run_promise (fun () -> Lwt.bind (slow ()) (fun () -> store_by_lwt body))
    ]}

    This library needs Lwt's core only. Programs that use [Lwt_unix] add [soil.lwt.unix] to the
    [libraries] in their dune file: its engine waits for Lwt's descriptors and timers together with
    the tasks, in the same system call.

    {b The loop.} A separate task, the {e loop}, runs Lwt's callbacks: of resolved promises, and of
    [Lwt.pause]. Other tasks run when the loop waits, and at each of its turns. An Lwt callback must
    not wait in Soil, just as it must not block in [Unix]: it would block all of Lwt until it
    returns. {!await} and {!run_promise} detect this; use {!task} there.

    {b Cancellation} goes both ways. A task that is cancelled in {!await} cancels the promise by
    [Lwt.cancel]; [Lwt.cancel] of {!task}'s promise cancels the task. A task that was cancelled by
    Soil rejects its promise with [Lwt.Canceled].

    {b Threads.} Like tasks, all this belongs to the program's first thread. *)

val run : (unit -> 'a) -> 'a
(** [run main] is [Soil.run main] with a loop for Lwt, which ends after [main] and all tasks started
    by {!task}. Pending promises stay pending. Exceptions of callbacks go to
    [Lwt.async_exception_hook]. Within [run] it is [main ()]; within [Soil.run] it waits for the end
    of those tasks. *)

val await : 'a Lwt.t -> 'a
(** [await p] waits until [p] is resolved and is its value, or raises its exception. If the task is
    cancelled meanwhile it cancels [p] by [Lwt.cancel], doesn't wait for its completion, and raises
    [Soil.Task.Cancelled]; [await (Lwt.protected p)] doesn't cancel [p]. Raises [Invalid_argument]
    in an Lwt callback, and outside {!run} if [p] is pending. *)

val run_promise : (unit -> 'a Lwt.t) -> 'a
(** [run_promise f] calls [f ()] in the loop and is {!await} of its promise. Prefer it to
    [await (f ())] for code that may resolve promises at once. *)

val task : (unit -> 'a) -> 'a Lwt.t
(** [task f] starts a task that computes [f ()] and is a promise of its result; an exception of [f]
    rejects it. It may be called in an Lwt callback and anywhere else within {!run}. The task starts
    when the current one next waits. Raises [Invalid_argument] outside {!run}. *)

(** {1:driver Driver of the loop} *)

(** For [soil.lwt.unix]. *)
module Driver : sig
  type t = {
    drive : unit Lwt.t -> unit;  (** Runs Lwt until the promise is resolved, in a task. *)
    wake : unit -> unit;  (** Ends the wait of [drive], because a callback is ready. *)
  }

  val register : t -> unit
  (** [register d] makes [d] the driver of every later {!run}. *)

  val step : unit -> bool
  (** [step ()] runs the callbacks that tasks have queued for the loop; [true] iff there were any.
  *)
end
