(* What [soil_wait] and [soil_domain_call] do for one domain, in steps. *)

let called = ref false

let domain_call _ =
  Interleavings.step ();
  called := true;
  0

(* A deadline of 0 polls; without one the wait lasts until a call, which may have come before. *)
let wait deadline =
  Interleavings.step_when (fun () -> deadline = 0 || !called);
  called := false
