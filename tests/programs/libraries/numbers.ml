(* zarith: big integers, whose arithmetic is C and assembly around GMP. *)
let () =
  let rec factorial n = if n = 0 then Z.one else Z.mul (Z.of_int n) (factorial (n - 1)) in
  let f = factorial 200 in
  print_endline (Z.to_string f);
  Printf.printf "digits %d, remainder %s\n"
    (String.length (Z.to_string f))
    (Z.to_string (Z.rem f (Z.of_string "1000000007000000009")));
  Printf.printf "power %s\n"
    (Z.to_string
       (Z.powm (Z.of_int 3) (Z.of_int 1_000_003)
          (Z.of_string "170141183460469231731687303715884105727")));
  Printf.printf "gcd %s, root %s\n"
    (Z.to_string (Z.gcd f (Z.pow (Z.of_int 7) 40)))
    (Z.to_string (Z.sqrt f));
  print_endline (Q.to_string (Q.div (Q.of_ints 355 113) (Q.of_ints 22 7)));
  match Z.div f Z.zero with
  | _ -> print_endline "divided"
  | exception Division_by_zero -> print_endline "division by zero"
