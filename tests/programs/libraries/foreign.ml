(* ctypes: functions and structures of C by stubs that it generates. *)
open Ctypes
module C = Bindings.Functions (Generated)

let make a b =
  let p = make Bindings.point in
  setf p Bindings.x a;
  setf p Bindings.y b;
  p

let () =
  Printf.printf "strlen %d\n" (Unsigned.Size_t.to_int (C.strlen "ctypes"));
  let m = C.middle (make 1. 2.) (make 4. 8.) in
  Printf.printf "middle %.2f %.2f\n" (getf m Bindings.x) (getf m Bindings.y);
  let numbers = CArray.of_list int [ 5; 2; 9; 1; 7 ] in
  Printf.printf "sum %s\n" (Signed.Long.to_string (C.sum (CArray.start numbers) 5));
  let bytes = allocate_n char ~count:8 in
  bytes <-@ 'o';
  bytes +@ 1 <-@ 'k';
  Printf.printf "%s %d %d\n" (string_from_ptr bytes ~length:2) (sizeof Bindings.point)
    (alignment Bindings.point);
  Printf.printf "%s\n"
    (Unsigned.UInt32.to_string (Unsigned.UInt32.sub Unsigned.UInt32.zero Unsigned.UInt32.one))
