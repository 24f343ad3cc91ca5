(* Bigarrays: element kinds, slices, blits, sizes that come from malloc and from mmap. *)
open Bigarray

let () =
  let a = Array1.create Float64 C_layout 1000 in
  for i = 0 to 999 do
    a.{i} <- float i
  done;
  let slice = Array1.sub a 500 10 in
  slice.{0} <- -1.;
  Printf.printf "%g %g\n" a.{500} a.{999};
  let m = Array2.create Int32 Fortran_layout 3 4 in
  Array2.fill m 7l;
  m.{3, 4} <- 9l;
  Printf.printf "%ld %ld\n" m.{1, 1} (Array2.slice_right m 4).{3};
  let big = Array1.create Char C_layout 20_000_000 in
  Array1.fill big 'z';
  let copy = Array1.create Char C_layout 20_000_000 in
  Array1.blit big copy;
  Printf.printf "%c %b\n" copy.{19_999_999}
    (Array1.sub big 0 5_000_000 = Array1.sub copy 5_000_000 5_000_000);
  match a.{1000} with
  | _ -> print_endline "out of bounds read"
  | exception Invalid_argument reason -> print_endline reason
