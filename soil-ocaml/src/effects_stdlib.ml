(* For compilers other than the one that effects_lean.ml knows. *)

type t = Finished | Parked of (int, t) Effect.Deep.continuation
type _ Effect.t += Park : int Effect.t

let start f =
  let effc : type a. a Effect.t -> ((a, t) Effect.Deep.continuation -> t) option = function
    | Park -> Some (fun k -> Parked k)
    | _ -> None
  in
  Effect.Deep.match_with f () { retc = (fun () -> Finished); exnc = raise; effc }

let park () = Effect.perform Park
let continue k n = Effect.Deep.continue k n
