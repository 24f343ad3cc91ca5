let thread = Soil_raw.thread ()

let[@inline never] foreign () =
  invalid_arg
    "Soil: called from another thread or domain than the program's first one, to which tasks and \
     all that waits belong"

let[@inline never] check () = if Soil_raw.thread () <> thread then foreign ()
