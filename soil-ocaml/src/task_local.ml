type 'a t = { key : int; mutable slot : 'a option }

let last = ref 0

let create () =
  incr last;
  { key = !last; slot = None }

let get t =
  Owner.check ();
  let rec find : Scheduler.local list -> _ = function
    | [] -> None
    | { key; put } :: _ when key = t.key ->
        put ();
        let found = t.slot in
        t.slot <- None;
        found
    | _ :: rest -> find rest
  in
  find (Scheduler.locals ())

let bound t v f =
  let before = Scheduler.locals () in
  let put () = t.slot <- Some v in
  Scheduler.set_locals ({ key = t.key; put } :: before);
  Failure.finally (fun () -> Scheduler.set_locals before) f

let with_ t v f =
  if Scheduler.in_task () then bound t v f else Scheduler.run (fun () -> bound t v f)
