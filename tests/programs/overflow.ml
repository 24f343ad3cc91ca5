(* Stack overflow on the main stack and in a fiber, twice each, and work afterwards. *)
type _ Effect.t += Never : unit Effect.t

let rec deep n = if n = 0 then 0 else 1 + deep (Sys.opaque_identity (n - 1))

let attempt name f =
  match f () with
  | n -> Printf.printf "%s: %d\n%!" name n
  | exception Stack_overflow -> Printf.printf "%s: stack overflow\n%!" name

let in_fiber f () =
  match
    Effect.perform Never;
    f ()
  with
  | n -> n
  | effect Never, k -> Effect.Deep.continue k ()

let endless () = deep (-1)

let () =
  attempt "deep enough" (fun () -> deep 100_000);
  attempt "main" endless;
  attempt "main again" endless;
  attempt "fiber" (in_fiber endless);
  attempt "fiber again" (in_fiber endless);
  attempt "afterwards" (fun () -> deep 100_000)
