(* Its representation in every Unix. *)
external number : Unix.file_descr -> int = "%identity"

let await_readable fd = Soil.Readiness.await_readable (number fd)
let await_writable fd = Soil.Readiness.await_writable (number fd)
