(* Marshalled values: sharing, cycles, closures, large strings, floats, from and to bytes. *)
type t = { name : string; next : t option; numbers : float array }

let () =
  let value =
    List.init 1000 (fun i ->
        { name = string_of_int i; next = None; numbers = Array.init 10 (fun j -> float (i * j)) })
  in
  let text = Marshal.to_string value [] in
  let back : t list = Marshal.from_string text 0 in
  let last = List.nth back 999 in
  Printf.printf "equal: %b, %s %b %g\n" (value = back) last.name (last.next = None) last.numbers.(9);
  let shared = String.make 100_000 's' in
  let both = Marshal.to_string (shared, shared) [] in
  let a, b = (Marshal.from_string both 0 : string * string) in
  Printf.printf "shared: %b, size below 101000: %b\n" (a == b) (String.length both < 101_000);
  let rec cycle = 1 :: 2 :: cycle in
  let copy : int list = Marshal.from_string (Marshal.to_string cycle []) 0 in
  Printf.printf "cycle: %d\n" (List.nth copy 1001);
  let factor = Array.length Sys.argv * 3 in
  let f : int -> int =
    Marshal.from_string (Marshal.to_string (fun x -> x * factor) [ Marshal.Closures ]) 0
  in
  Printf.printf "closure: %d\n" (f 14);
  match Marshal.to_string print_newline [] with
  | _ -> print_endline "closures went through"
  | exception Invalid_argument _ -> print_endline "closures need the flag"
