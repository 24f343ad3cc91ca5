type t = { values : float array; mutable next : int }

let create n = { values = Array.make n 0.; next = 0 }

let add h v =
  h.values.(h.next) <- v;
  h.next <- (h.next + 1) mod Array.length h.values

let values h =
  let n = Array.length h.values in
  List.init n (fun i -> h.values.((h.next + i) mod n))

let rate () =
  let last = ref None in
  fun ~now count ->
    let before = !last in
    last := Some (now, count);
    match before with
    | Some (time, old) when now > time -> float_of_int (count - old) /. (now -. time)
    | _ -> 0.
