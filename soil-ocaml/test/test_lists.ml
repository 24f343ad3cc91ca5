(* The library's own functions on lists do what those of the standard library do. *)
open Check

module type Lists = sig
  val length : 'a list -> int
  val is_empty : 'a list -> bool
  val init : int -> (int -> 'a) -> 'a list
  val rev_append : 'a list -> 'a list -> 'a list
  val rev : 'a list -> 'a list
  val iteri : (int -> 'a -> unit) -> 'a list -> unit
  val iter : ('a -> unit) -> 'a list -> unit
  val map : ('a -> 'b) -> 'a list -> 'b list
  val filter_map : ('a -> 'b option) -> 'a list -> 'b list
  val fold_left : ('acc -> 'a -> 'acc) -> 'acc -> 'a list -> 'acc
  val filteri : (int -> 'a -> bool) -> 'a list -> 'a list
  val filter : ('a -> bool) -> 'a list -> 'a list
  val partition : ('a -> bool) -> 'a list -> 'a list * 'a list
  val for_all : ('a -> bool) -> 'a list -> bool
  val exists : ('a -> bool) -> 'a list -> bool
  val mem : 'a -> 'a list -> bool
end

(* All results for one list, and the order in which elements are looked at. *)
let results (module L : Lists) list =
  let seen = ref [] in
  let see x = seen := x :: !seen in
  let odd x =
    see x;
    x land 1 = 1
  in
  L.iter see list;
  L.iteri (fun i x -> see (i - x)) list;
  let lists =
    [
      L.init (L.length list) (fun i ->
          see i;
          i * i);
      L.rev_append list [ 1; 2 ];
      L.rev list;
      L.map
        (fun x ->
          see x;
          x + 1)
        list;
      L.filter_map (fun x -> if odd x then Some (2 * x) else None) list;
      L.filteri (fun i x -> odd (i + x)) list;
      L.filter odd list;
      fst (L.partition odd list);
      snd (L.partition odd list);
    ]
  in
  let answers = [ L.is_empty list; L.for_all odd list; L.exists odd list; L.mem 3 list ] in
  (lists, answers, L.fold_left (fun acc x -> (3 * acc) - x) 1 list, !seen)

let small_lists = QCheck2.Gen.(small_list (int_range (-5) 5))
let agree list = results (module Lists) list = results (module List) list

let long () =
  let n = 1_000_000 in
  let list = Lists.map succ (Lists.init n Fun.id) in
  int "length" n (Lists.length (Lists.filter (fun x -> x > 0) list))

let tests = [ property "as the standard library" small_lists agree; test "a million elements" long ]
