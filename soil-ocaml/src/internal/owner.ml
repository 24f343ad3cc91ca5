external domain : unit -> int = "caml_ml_domain_id" [@@noalloc]

let thread = Soil_raw.thread ()
let first_domain = domain ()

let[@inline never] foreign () =
  invalid_arg
    "Soil: called from another thread than the program's first one, to which tasks and Soil.run \
     belong (Soil.Inbox.submit runs functions as tasks)"

let[@inline never] foreign_domain () =
  invalid_arg "Soil: called from another domain than the program's first one"

let check_domain () = if domain () <> first_domain then foreign_domain ()

let[@inline never] check_other () =
  check_domain ();
  true

let is_other () = Soil_raw.thread () <> thread && check_other ()
let check () = if is_other () then foreign ()
