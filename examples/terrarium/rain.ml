type drop = { x : int; mutable y : int; speed : int }
type t = { mutable drops : drop list; mutable seen : int }

(* A flood looks like a downpour of this many. *)
let most = 300

(* A process on Linux's sockets sees no packets. *)
let received () = Option.value ~default:0 (List.assoc_opt "link.frames-in" (Soil.Net.statistics ()))
let create () = { drops = []; seen = received () }
let packets r = r.seen

let fall r p ~ground =
  let now = received () in
  let width = Bigarray.Array2.dim2 p in
  let drop _ = { x = Random.int width; y = -Random.int 40; speed = 6 + Random.int 5 } in
  let fresh = List.init (Int.max 0 (Int.min (now - r.seen) (most - List.length r.drops))) drop in
  r.seen <- now;
  r.drops <- List.filter (fun drop -> drop.y < ground) (List.rev_append fresh r.drops);
  List.iter
    (fun drop ->
      Soil_draw.rectangle ~alpha:0.6 p 0xA8D0F0 ~x:drop.x ~y:drop.y ~width:2 ~height:9;
      drop.y <- drop.y + drop.speed)
    r.drops
