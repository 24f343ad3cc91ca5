type missed = Skip | Once | Each of int

type t = {
  now : unit -> float;
  sleep : float -> unit;
  next : float -> float option;  (** After a time. *)
  grain : float;  (** The shortest distance of two times, about. *)
  late : float;
  back : float;  (** A clock that goes back further was wrong. *)
  missed : missed;
  delay : unit -> float;
}

(* A step of the clock is seen after this time. *)
let longest_sleep = 60.

type wait = Due of float | Back of float

let rec wait t ~last due =
  let now = t.now () in
  if now < last -. t.back then Back now
  else if now >= due then Due now
  else (
    t.sleep (Float.min longest_sleep (due -. now));
    wait t ~last due)

let rec between t ~after ~until =
  match t.next after with
  | Some due when due <= until -> due :: between t ~after:due ~until
  | Some _ | None -> []

let rec drop n list = if n <= 0 then list else match list with [] -> [] | _ :: l -> drop (n - 1) l

(* The last [n] times after [last] and up to [now]. The window grows, because all times since [last]
   may be many. *)
let passed t n ~last ~now =
  let rec grow window =
    let after = Float.max last (now -. window) in
    let found = between t ~after ~until:now in
    let count = List.length found in
    if after = last || count >= n then drop (count - n) found else grow (2. *. window)
  in
  grow (t.grain *. float (n + 1))

let select t ~last ~now =
  match t.missed with
  | Each n -> passed t n ~last ~now
  | Once -> passed t 1 ~last ~now
  | Skip -> List.filter (fun due -> now -. due <= t.late) (passed t 1 ~last ~now)

let rec run ~last ~f t =
  match t.next last with
  | None ->
      t.sleep infinity;
      run ~last ~f t
  | Some due -> (
      match wait t ~last due with
      | Back now -> run ~last:now ~f t
      | Due now ->
          (match select t ~last ~now with
          | [] -> ()
          | dues ->
              t.sleep (t.delay ());
              List.iter f dues);
          run ~last:now ~f t)
