(* A type of values for each [t], by which [Scheduler.local] has values of any type. *)
module type KEY = sig
  type value
  type Scheduler.local += Value of value
end

type 'a t = (module KEY with type value = 'a)

let create (type a) () : a t =
  (module struct
    type value = a
    type Scheduler.local += Value of a
  end)

let get (type a) ((module Key) : a t) =
  Owner.check ();
  let rec find : Scheduler.local list -> a option = function
    | [] -> None
    | Key.Value v :: _ -> Some v
    | _ :: rest -> find rest
  in
  find (Scheduler.locals ())

let bound (type a) ((module Key) : a t) (v : a) f =
  let before = Scheduler.locals () in
  Scheduler.set_locals (Key.Value v :: before);
  Failure.finally (fun () -> Scheduler.set_locals before) f

let with_ t v f =
  if Scheduler.in_task () then bound t v f else Scheduler.run (fun () -> bound t v f)
