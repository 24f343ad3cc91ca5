external domain : unit -> int = "caml_ml_domain_index" [@@noalloc]

let thread = Soil_raw.thread ()
let domains = 128

(* By the domain's index; no thread has the number 0. *)
let schedulers = Slots.make domains 0

let[@inline never] foreign () =
  invalid_arg
    "Soil: called from another thread than the domain's first one, to which tasks and Soil.run \
     belong (Soil.Inbox.submit runs functions as tasks)"

let[@inline never] foreign_domain () =
  invalid_arg
    "Soil: called from another domain than the program's first one and those of Soil.Domain.run"

let[@inline never] not_first () =
  invalid_arg "Soil: called from another domain than the program's first one, which this belongs to"

let scheduler () =
  let domain = domain () in
  if domain < domains then schedulers.(domain) else 0

let check_domain () = if domain () <> 0 && scheduler () = 0 then foreign_domain ()
let check_first () = if domain () <> 0 then not_first ()

let[@inline never] is_other_than_first current =
  let scheduler = scheduler () in
  if scheduler = 0 then foreign_domain ();
  scheduler <> current

let is_other () =
  let current = Soil_raw.thread () in
  current <> thread && is_other_than_first current

let check () = if is_other () then foreign ()

let join () =
  if Soil_raw.domain_join () < 0 then failwith "Soil: more than 128 domains";
  schedulers.(domain ()) <- Soil_raw.thread ()

let leave () =
  schedulers.(domain ()) <- 0;
  ignore (Soil_raw.domain_leave ())

let () = schedulers.(0) <- thread
