(* For compilers other than those that effects_lean.ml knows. *)

(* As in effects_lean.ml, without a constructor around the continuation. *)
type t = Obj.t
type _ Effect.t += Park : int Effect.t

let finished = Obj.repr 0
let parked : ((int, t) Effect.Deep.continuation -> t) option = Some Obj.repr

let start f =
  let effc : type a. a Effect.t -> ((a, t) Effect.Deep.continuation -> t) option = function
    | Park -> parked
    | _ -> None
  in
  Effect.Deep.match_with f () { retc = (fun () -> finished); exnc = raise; effc }

let park () = Effect.perform Park

let continue t n =
  let k : (int, t) Effect.Deep.continuation = Obj.obj t in
  Effect.Deep.continue k n
