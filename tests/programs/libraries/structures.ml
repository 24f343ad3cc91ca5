(* gen, iter, psq, gmap, hmap, extlib, csexp, reactiveData: data structures. *)

let line = Printf.printf

let () =
  let squares = Gen.map (fun n -> n * n) (Gen.int_range 1 1000) in
  line "gen: %d\n" (Gen.fold ( + ) 0 (Gen.filter (fun n -> n land 1 = 0) squares));
  line "%s\n"
    (String.concat " "
       (List.map string_of_int
          (Gen.to_list (Gen.interleave (Gen.of_list [ 1; 3 ]) (Gen.of_list [ 2; 4 ])))));
  let pairs = Iter.product (Iter.int_range ~start:1 ~stop:30) (Iter.int_range ~start:1 ~stop:30) in
  let right =
    Iter.filter
      (fun (a, b) ->
        a < b
        &&
        let c = truncate (sqrt (float ((a * a) + (b * b)))) in
        c * c = (a * a) + (b * b))
      pairs
  in
  line "iter: %d triples, greatest %d\n" (Iter.length right)
    (Option.get (Iter.max (Iter.map snd right)))

module Queue = Psq.Make (String) (Int)

let () =
  let queue = Queue.of_list (List.init 1000 (fun n -> (string_of_int n, n * 7919 mod 1000))) in
  let queue =
    Queue.add "urgent" (-1) queue |> Queue.remove "0" |> Queue.adjust "500" (fun _ -> 5000)
  in
  let rec first n queue =
    if n > 0 then
      match Queue.pop queue with
      | Some ((key, priority), rest) ->
          line "%s at %d\n" key priority;
          first (n - 1) rest
      | None -> line "empty\n"
  in
  first 3 queue;
  line "psq: %d\n" (Queue.size queue)

module Key = struct
  type _ t = Count : int t | Name : string t

  let compare : type a b. a t -> b t -> (a, b) Gmap.Order.t =
   fun a b ->
    match (a, b) with
    | Count, Count -> Eq
    | Name, Name -> Eq
    | Count, Name -> Lt
    | Name, Count -> Gt
end

module Map = Gmap.Make (Key)

let () =
  let map = Map.(add Count 7 (singleton Name "seven")) in
  line "gmap: %d %s %d\n" (Map.get Count map) (Map.get Name map) (Map.cardinal map);
  let size : int Hmap.key = Hmap.Key.create () and word = Hmap.Key.create () in
  let map = Hmap.(add size 3 (singleton word "three")) in
  line "hmap: %d %s %d\n" (Hmap.get size map) (Hmap.get word map)
    (Hmap.cardinal (Hmap.rem size map))

let () =
  let open ExtLib in
  let array = DynArray.create () in
  for n = 1 to 10_000 do
    DynArray.add array (n mod 97)
  done;
  DynArray.delete_range array 100 9_000;
  line "extlib: %d, %d\n" (DynArray.length array) (DynArray.fold_left ( + ) 0 array);
  line "%s\n"
    (String.concat "|"
       (String.nsplit
          (String.replace_chars (function 'a' -> "A" | c -> String.make 1 c) "banana")
          "n"));
  let bits = BitSet.create 100 in
  List.iter (BitSet.set bits) [ 1; 64; 99 ];
  line "%d bits\n" (BitSet.count bits);
  let output = IO.output_string () in
  IO.BigEndian.write_i32 output 0x01020304;
  line "%S\n" (IO.close_out output)

let () =
  let value = Csexp.(List [ Atom "key"; List [ Atom ""; Atom "12 bytes\n\000\255 " ] ]) in
  let text = Csexp.to_string value in
  line "%S, back: %b\n" text (Csexp.parse_string text = Ok value);
  match Csexp.parse_string "(3:ab" with
  | Ok _ -> line "parsed\n"
  | Error (position, reason) -> line "csexp: %d, %s\n" position reason

let () =
  let list, handle = ReactiveData.RList.create [ 3; 1; 2 ] in
  let doubled = ReactiveData.RList.map (fun n -> 2 * n) list in
  ReactiveData.RList.snoc 9 handle;
  ReactiveData.RList.remove 0 handle;
  line "%s\n" (String.concat " " (List.map string_of_int (ReactiveData.RList.value doubled)))
