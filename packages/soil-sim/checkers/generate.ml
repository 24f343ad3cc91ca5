type t = { mutable state : int64; gamma : int64 }

let ( ^> ) z shift = Int64.logxor z (Int64.shift_right_logical z shift)
let golden_gamma = 0x9e3779b97f4a7c15L

let mix z =
  let z = Int64.mul (z ^> 30) 0xbf58476d1ce4e5b9L in
  let z = Int64.mul (z ^> 27) 0x94d049bb133111ebL in
  z ^> 31

let population n =
  let rec count bits n =
    if n = 0L then bits else count (bits + 1) (Int64.logand n (Int64.pred n))
  in
  count 0 n

(* An odd number with enough changes from bit to bit. *)
let mix_gamma z =
  let z = Int64.mul (z ^> 33) 0xff51afd7ed558ccdL in
  let z = Int64.mul (z ^> 33) 0xc4ceb9fe1a85ec53L in
  let z = Int64.logor (z ^> 33) 1L in
  if population (z ^> 1) < 24 then Int64.logxor z 0xaaaaaaaaaaaaaaaaL else z

let create seed = { state = Int64.of_int seed; gamma = golden_gamma }

let next t =
  t.state <- Int64.add t.state t.gamma;
  t.state

let bits64 t = mix (next t)

let split t =
  let state = bits64 t in
  { state; gamma = mix_gamma (next t) }

let derive t n = { state = mix (Int64.logxor (mix t.state) (Int64.of_int n)); gamma = golden_gamma }
let bits62 t = Int64.to_int (Int64.shift_right_logical (bits64 t) 2)

(* The last, incomplete range of multiples of [bound] is drawn again. *)
let rec draw t bound =
  let bits = bits62 t in
  let value = bits mod bound in
  if bits - value > max_int - bound + 1 then draw t bound else value

let int t bound =
  if bound <= 0 then Printf.ksprintf invalid_arg "Generate.int: bound %d: give a positive one" bound
  else draw t bound

let unit_float t = Int64.to_float (Int64.shift_right_logical (bits64 t) 11) *. 0x1p-53
let float t bound = unit_float t *. bound
let bool t = Int64.compare (bits64 t) 0L < 0
let chance t p = unit_float t < p

let choice t items =
  match List.length items with
  | 0 -> invalid_arg "Generate.choice: no items: give at least one"
  | n -> List.nth items (int t n)

let weighted t items =
  let sum = List.fold_left (fun sum (weight, _) -> sum + weight) 0 items in
  if sum <= 0 || List.exists (fun (weight, _) -> weight < 0) items then
    invalid_arg "Generate.weighted: weights that are negative, or have no positive sum";
  let rec find n = function
    | (weight, item) :: rest -> if n < weight then item else find (n - weight) rest
    | [] -> assert false
  in
  find (int t sum) items

let shuffle_array t items =
  for i = Array.length items - 1 downto 1 do
    let j = int t (i + 1) in
    let item = items.(i) in
    items.(i) <- items.(j);
    items.(j) <- item
  done

let shuffle t items =
  let items = Array.of_list items in
  shuffle_array t items;
  Array.to_list items

let size t ~max =
  if max < 0 then Printf.ksprintf invalid_arg "Generate.size: max %d: give 0 or more" max;
  match int t 16 with
  | 0 -> 0
  | 1 -> max
  | _ ->
      let rec bits n = if n = 0 then 0 else 1 + bits (n lsr 1) in
      let limit = (1 lsl int t (bits max + 1)) - 1 in
      int t (Int.min limit max + 1)

let zipf ?(skew = 1.) t n =
  if n <= 0 then Printf.ksprintf invalid_arg "Generate.zipf: %d numbers: give at least one" n;
  let numbers = Array.init n Fun.id in
  shuffle_array t numbers;
  let sum = ref 0. in
  let below =
    Array.init n (fun k ->
        sum := !sum +. (Float.of_int (k + 1) ** -.skew);
        !sum)
  in
  (* The first rank whose sum exceeds [x], in [low, high]. *)
  let rec find x low high =
    if low = high then low
    else
      let middle = (low + high) / 2 in
      if below.(middle) > x then find x low middle else find x (middle + 1) high
  in
  fun () -> numbers.(find (float t !sum) 0 (n - 1))

let keys ?skew ?(prefix = "k") t n =
  let number = zipf ?skew t n in
  fun () -> prefix ^ string_of_int (number ())

let exponential t mean =
  Float.to_int (Float.round (-.Float.log1p (-.unit_float t) *. Float.of_int mean))

let think ?(burst = 8) ?(within = 1_000_000) ?(idle = 500_000_000) t =
  if burst <= 0 then
    Printf.ksprintf invalid_arg "Generate.think: bursts of %d operations: give at least 1" burst;
  fun () -> exponential t (if int t burst = 0 then idle else within)

let unique ?(prefix = "v") () =
  let count = ref (-1) in
  fun () ->
    incr count;
    prefix ^ string_of_int !count

let to_random_state t = Random.State.make (Array.init 8 (fun _ -> bits62 t))
