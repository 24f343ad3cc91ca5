(* The heap puts blocks side by side: the locks are as far from each other as the lines of a cache, so
   that two domains that use two of them don't disturb each other. *)

external relax : unit -> unit = "caml_ml_domain_cpu_relax"

type t = int

let several = ref false
let number = 64
let apart = 8
let locks : bool Atomic.t array ref = ref [||]
let last = ref 0

let create () =
  last := (!last + 1) land (number - 1);
  !last * apart

let start () =
  if not !several then (
    locks := Slots.init (number * apart) (fun _ -> Atomic.make false);
    several := true)

(* Reads before it tries: a try takes the line from the domain that holds the lock. *)
let rec wait lock =
  if Atomic.get lock || not (Atomic.compare_and_set lock false true) then (
    relax ();
    wait lock)

let[@inline] enter g = if !several then wait !locks.(g)
let[@inline] leave g = if !several then Atomic.set !locks.(g) false

let replace g cell before after =
  enter g;
  let same = !cell == before in
  if same then cell := after;
  leave g;
  same
