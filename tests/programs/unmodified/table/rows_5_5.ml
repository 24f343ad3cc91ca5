(* What OCaml 5.5 added: module, function, answer. *)

let unset () =
  Unix.putenv "TABLE" "x";
  Unix.unsetenv "TABLE";
  Option.value ~default:"none" (Sys.getenv_opt "TABLE")

let rows =
  [ ("Unix", "unsetenv", unset); ("Domain", "count", fun () -> string_of_int (Domain.count ())) ]
