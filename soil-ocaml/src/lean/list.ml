let rec fold_left f acc = function [] -> acc | x :: rest -> fold_left f (f acc x) rest
let length list = fold_left (fun n _ -> n + 1) 0 list
let is_empty = function [] -> true | _ :: _ -> false

let rec rev_append list tail =
  match list with [] -> tail | x :: rest -> rev_append rest (x :: tail)

let rev list = rev_append list []

let iteri f list =
  let rec go i = function
    | [] -> ()
    | x :: rest ->
        f i x;
        go (i + 1) rest
  in
  go 0 list

let iter f list = iteri (fun _ x -> f x) list

let[@tail_mod_cons] rec filter_mapi i f = function
  | [] -> []
  | x :: rest -> (
      match f i x with
      | Some y -> y :: filter_mapi (i + 1) f rest
      | None -> filter_mapi (i + 1) f rest)

let filter_map f list = filter_mapi 0 (fun _ x -> f x) list
let map f list = filter_mapi 0 (fun _ x -> Some (f x)) list
let filteri f list = filter_mapi 0 (fun i x -> if f i x then Some x else None) list
let filter f list = filteri (fun _ x -> f x) list

let init n f =
  let rec go i list = if i < n then go (i + 1) (f i :: list) else rev list in
  go 0 []

let partition f list =
  let add (yes, no) x = if f x then (x :: yes, no) else (yes, x :: no) in
  let yes, no = fold_left add ([], []) list in
  (rev yes, rev no)

let rec exists f = function [] -> false | x :: rest -> f x || exists f rest
let for_all f list = not (exists (fun x -> not (f x)) list)
let mem x list = exists (fun y -> compare x y = 0) list
