(* The compiler's primitives for effects, as Stdlib.Effect of OCaml 5.3 to 5.5 uses them. That
   module itself would link Printexc and Printf, 300 KB of every image. *)

(* A continuation, or a number for the end: no constructor around it, because where memory is taken,
   handlers of signals run, and one that raises would lose the continuation. *)
type t = Obj.t

let finished = Obj.repr 0

type _ Effect.t += Park : int Effect.t
type ('a, 'b) stack [@@immediate]
type last_fiber [@@immediate]

external runstack : ('a, 'b) stack -> ('c -> 'a) -> 'c -> 'b = "%runstack"
external resume : ('a, 'b) stack -> ('c -> 'a) -> 'c -> last_fiber -> 'b = "%resume"

external reperform : 'a Effect.t -> ('a, 'b) Effect.Deep.continuation -> last_fiber -> 'b
  = "%reperform"

external take_stack : ('a, 'b) Effect.Deep.continuation -> ('a, 'b) stack
  = "caml_continuation_use_noexc"
[@@noalloc]

external last_fiber : ('a, 'b) Effect.Deep.continuation -> last_fiber = "%field1"

external alloc_stack :
  ('a -> 'b) ->
  (exn -> 'b) ->
  ('c Effect.t -> ('c, 'b) Effect.Deep.continuation -> last_fiber -> 'b) ->
  ('a, 'b) stack = "caml_alloc_stack"

let on_effect : type a. a Effect.t -> (a, t) Effect.Deep.continuation -> last_fiber -> t =
 fun request k last_fiber ->
  match request with Park -> Obj.repr k | other -> reperform other k last_fiber

let returned () = finished
let start f = runstack (alloc_stack returned raise on_effect) f ()
let park () = Effect.perform Park
let identity (n : int) = n

let continue t n =
  let k : (int, t) Effect.Deep.continuation = Obj.obj t in
  resume (take_stack k) identity n (last_fiber k)
