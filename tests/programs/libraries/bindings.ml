(* The functions of functions.h, described to ctypes. *)
open Ctypes

type point

let point : point structure typ = structure "point"
let x = field point "x" double
let y = field point "y" double
let () = seal point

module Functions (F : Ctypes.FOREIGN) = struct
  open F

  let strlen = foreign "strlen" (string @-> returning size_t)
  let middle = foreign "middle" (point @-> point @-> returning point)
  let sum = foreign "sum" (ptr int @-> int @-> returning long)
end
