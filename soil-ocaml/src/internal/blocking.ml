(** Waiting in threads other than the first: each blocks by itself. Implemented by {!Threads}, in
    programs with the library [soil.threads]. Private to Soil. *)

type t = {
  operation : operation:string -> subject:string -> (int -> int) -> int;
      (** {!Scheduler.operation} *)
  wait_ready : int -> int -> int;  (** {!Scheduler.wait_ready} *)
  sleep_until : int -> unit;  (** {!Scheduler.sleep_until} *)
  timeout : 'a. int -> (unit -> 'a) -> 'a option;
      (** [timeout t f] is [Some (f ())], or [None] if a wait in [f] raised [Cancelled] at the time
          [t] (nanoseconds). *)
  protect : 'a. (unit -> 'a) -> 'a;  (** {!Scheduler.protect} *)
}

(** [!registered] is [None] in programs without [soil.threads]. *)
let registered : t option ref = ref None

(** [missing ()] raises [Invalid_argument]: the program doesn't have [soil.threads]. *)
let[@inline never] missing () =
  invalid_arg
    "Soil: called from another thread than the program's first one, without the library \
     soil.threads (add it to the libraries in the program's dune file)"

(** [get ()] is the registered value. Raises [Invalid_argument] if there is none, and in another
    domain than the first. *)
let get () =
  (* Tokens and limits of threads are the first domain's. *)
  Owner.check_first ();
  match !registered with Some blocking -> blocking | None -> missing ()
