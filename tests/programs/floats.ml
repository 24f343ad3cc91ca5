(* Formatting and parsing of floating-point numbers, which the C library does. *)
let values =
  [ 0.; -0.; 1.; 0.1; 1. /. 3.; 1e22; 1e23; 123456789.125; 5e-324; 1.7976931348623157e308;
    infinity; neg_infinity; nan; -1.5e-7; 2.5; 3.5; 1e15; 1e16; 4503599627370497.5 ] [@@ocamlformat "disable"]

let () =
  List.iter
    (fun x ->
      Printf.printf "%f|%e|%g|%.0f|%.3f|%10.2f|%-12g|%+g|%h|%F|%s\n" x x x x x x x x x x
        (string_of_float x))
    values;
  List.iter
    (fun text -> Printf.printf "%s = %h\n" text (float_of_string text))
    [ "0.1"; "1e400"; "-0x1.8p3"; "2.2250738585072011e-308"; "9007199254740993"; "1_000.5" ];
  List.iter
    (fun (name, x) -> Printf.printf "%s %.15g\n" name x)
    [
      ("sin", sin 1.);
      ("exp", exp 1.);
      ("log", log 10.);
      ("pow", 2. ** 0.5);
      ("atan2", atan2 1. (-1.));
      ("hypot", hypot 3. 4.);
      ("fma", Float.fma 0.1 10. (-1.));
      ("rem", Float.rem 7.5 2.);
      ("cbrt", Float.cbrt 27.);
      ("round", Float.round (-2.5));
    ];
  Printf.printf "%Ld %ld %nd\n" (Int64.of_float 1e18) (Int32.of_float (-7.9))
    (Nativeint.of_float 42.)
