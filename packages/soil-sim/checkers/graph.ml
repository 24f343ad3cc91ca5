type t = int list array

let create n = Array.make n []
let add graph u v = graph.(u) <- v :: graph.(u)

exception Back of int

(* The nodes, each before those that its edges lead to. [Back] has a node of a cycle. *)
let topological graph =
  let n = Array.length graph in
  let is_open = Array.make n false and is_done = Array.make n false in
  let rec visit order u =
    if is_done.(u) then order
    else if is_open.(u) then raise_notrace (Back u)
    else (
      is_open.(u) <- true;
      let order = List.fold_left visit order graph.(u) in
      is_done.(u) <- true;
      u :: order)
  in
  List.fold_left visit [] (List.init n Fun.id)

let shortest_through graph start =
  let parent = Array.make (Array.length graph) (-1) in
  let queue = Queue.create () in
  let rec path u nodes = if u = start then u :: nodes else path parent.(u) (u :: nodes) in
  let rec search () =
    let u = Queue.pop queue in
    if List.mem start graph.(u) then path u []
    else
      let visit v =
        if parent.(v) < 0 then (
          parent.(v) <- u;
          Queue.push v queue)
      in
      List.iter visit graph.(u);
      search ()
  in
  Queue.push start queue;
  search ()

let cycle graph =
  match topological graph with
  | _ -> None
  | exception Back start -> Some (shortest_through graph start)

let closure graph =
  let n = Array.length graph in
  let words = (n + 63) / 64 in
  let rows = Array.init n (fun _ -> Bytes.make (8 * words) '\000') in
  let set row v =
    let at = v / 8 in
    Bytes.set_uint8 row at (Bytes.get_uint8 row at lor (1 lsl (v mod 8)))
  in
  let unite row other =
    for word = 0 to words - 1 do
      let at = 8 * word in
      Bytes.set_int64_ne row at
        (Int64.logor (Bytes.get_int64_ne row at) (Bytes.get_int64_ne other at))
    done
  in
  let reach u =
    let follow v =
      set rows.(u) v;
      unite rows.(u) rows.(v)
    in
    List.iter follow graph.(u)
  in
  List.iter reach (List.rev (topological graph));
  fun u v -> Bytes.get_uint8 rows.(u) (v / 8) land (1 lsl (v mod 8)) <> 0
