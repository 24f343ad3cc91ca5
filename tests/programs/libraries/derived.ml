(* ppx_deriving, ppx_sexp_conv, sexplib and base: derived functions, and values as text. *)

open Sexplib.Std

type shape = Circle of { radius : float } | Polygon of (int * int) list
[@@deriving show { with_path = false }, eq, ord, sexp]

type order = { number : int; shapes : shape list; note : string option [@sexp.option] }
[@@deriving show { with_path = false }, eq, sexp]

let order =
  { number = 7; shapes = [ Circle { radius = 1.5 }; Polygon [ (0, 0); (3, 4) ] ]; note = None }

let () =
  print_endline (show_order order);
  let sexp = sexp_of_order order in
  print_endline (Sexplib.Sexp.to_string_hum sexp);
  Printf.printf "equal: %b\n" (equal_order order (order_of_sexp sexp));
  Printf.printf "less: %b\n" (compare_shape (Polygon []) (Circle { radius = 0. }) > 0);
  (match order_of_sexp (Sexplib.Sexp.of_string "((number x)(shapes ()))") with
  | _ -> print_endline "read"
  | exception Sexplib.Conv.Of_sexp_error (Failure reason, _) -> print_endline reason);
  match Sexplib.Sexp.of_string "((number 1)" with
  | _ -> print_endline "read"
  | exception Failure reason -> print_endline reason

let () =
  let words = Base.String.split_on_chars ~on:[ ' '; ',' ] "b a,c b" in
  let counts =
    Base.List.fold words
      ~init:(Base.Map.empty (module Base.String))
      ~f:(Base.Map.update ~f:(fun n -> Base.Option.value n ~default:0 + 1))
  in
  print_endline
    (Sexplib.Sexp.to_string (Base.Map.sexp_of_m__t (module Base.String) Base.Int.sexp_of_t counts))
