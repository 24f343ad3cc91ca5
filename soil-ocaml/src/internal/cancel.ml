(* The tree. Its edges are [parent], and back [child] with the list of siblings from the youngest
   ([older], [younger]). [nil] stands for none: it is the parent of roots, is never cancelled, and
   its fields never change.

   Cancellation. If a context is cancelled, so are all below it up to shielded ones: [cancel] goes
   down, and [insert] takes it over from the parent. It is never taken back.

   The owner. One fiber has entered a context, its [owner]. That one's [context] is this one or, if
   it has entered another since, that. A fiber is interrupted for the context that it is in only: by
   a cancellation from above that reaches this context, and so not through a shield.

   Signals. A handler may raise an exception out of [interrupt], which may take memory. A context is
   marked as cancelled after its owner and all below it, so that the next cancellation, of this
   context or of one above, does the rest. *)

open Fiber

let insert ~shielded parent owner =
  let context =
    {
      cancelled = parent.cancelled && not shielded;
      shielded;
      parent;
      owner;
      child = nil;
      older = parent.child;
      younger = nil;
    }
  in
  if context.older != nil then context.older.younger <- context;
  if parent != nil then parent.child <- context;
  context

let remove context =
  if context.younger != nil then context.younger.older <- context.older
  else if context.parent.child == context then context.parent.child <- context.older;
  if context.older != nil then context.older.younger <- context.younger;
  context.older <- nil;
  context.younger <- nil

let enter ~shielded fiber =
  let context = insert ~shielded fiber.context fiber in
  fiber.context <- context;
  context

let leave context =
  remove context;
  context.owner.context <- context.parent

let within parent fiber f =
  let before = fiber.context in
  let context = insert ~shielded:false parent fiber in
  fiber.context <- context;
  let back () =
    remove context;
    fiber.context <- before
  in
  Failure.finally back f

let rec cancel ~interrupt context =
  if not context.cancelled then (
    if context.owner.context == context then interrupt context.owner;
    cancel_all ~interrupt context.child;
    context.cancelled <- true)

and cancel_all ~interrupt context =
  if context != nil then (
    if not context.shielded then cancel ~interrupt context;
    cancel_all ~interrupt context.older)
