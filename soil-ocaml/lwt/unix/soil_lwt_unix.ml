module Task = Soil.Task

external number : Unix.file_descr -> int = "%identity"
external descriptor : int -> Unix.file_descr = "%identity"
external epoll_create : unit -> int = "soil_lwt_epoll_create" [@@noalloc]
external epoll_set : int -> int -> int -> int -> bool = "soil_lwt_epoll_set" [@@noalloc]
external epoll_look : int -> int array -> int = "soil_lwt_epoll_look" [@@noalloc]

let batch = 256
let read = 1
let write = 2

type callback = { direction : int; call : unit -> unit; mutable is_active : bool }

(* A descriptor. *)
type watched = {
  mutable callbacks : callback list;  (** Those registered first come first. *)
  mutable directions : int;  (** What the set waits for. *)
  mutable is_always_ready : bool;  (** The set can't wait for it. *)
}

module Timers = Map.Make (struct
  type t = int * int

  let compare = Stdlib.compare
end)

let ns seconds =
  let ns = seconds *. 1e9 in
  if ns > 4e18 then max_int / 2 else if ns > 0. then int_of_float ns else 0

let create_set () =
  match epoll_create () with
  | set when set >= 0 -> set
  | error -> failwith ("Soil_lwt_unix: epoll_create1: error " ^ string_of_int (-error))

(* Lwt 6 knows an engine by its [id]. In Lwt 5, which has no such type, the method has this one. *)
module Identity = struct
  module Lwt_5 = struct
    type engine_id = ..
  end
  [@@warning "-34"]

  open! Lwt_5
  open! Lwt_engine

  type engine_id += Engine_id__soil
end

class engine =
  object (self)
    inherit Lwt_engine.abstract as super
    method id = Identity.Engine_id__soil
    val mutable set = create_set ()
    val watched : (int, watched) Hashtbl.t = Hashtbl.create 64
    val mutable always_ready = 0
    val events = Array.make (2 * batch) 0

    (* By the moment, in monotonic nanoseconds, and in the order of registration. *)
    val mutable timers : (unit -> unit) Timers.t = Timers.empty
    val mutable registrations = 0
    val mutable sleeping : Task.scope option = None

    method wake =
      match sleeping with
      | None -> ()
      | Some scope ->
          sleeping <- None;
          Task.cancel_scope scope

    method private cleanup = Unix.close (descriptor set)

    (* In the child: the set is the parent's, too. *)
    method! fork =
      super#fork;
      Unix.close (descriptor set);
      set <- create_set ();
      let add fd w =
        if not w.is_always_ready then (
          w.directions <- 0;
          self#settle fd w)
      in
      Hashtbl.iter add watched

    (* Brings the set into line with the callbacks. *)
    method private settle fd w =
      let wanted = List.fold_left (fun all callback -> all lor callback.direction) 0 w.callbacks in
      if w.is_always_ready then (
        if wanted = 0 then (
          always_ready <- always_ready - 1;
          Hashtbl.remove watched fd))
      else if wanted <> w.directions then (
        let is_set = epoll_set set fd w.directions wanted in
        w.directions <- wanted;
        if wanted = 0 then Hashtbl.remove watched fd
        else if not is_set then (
          w.is_always_ready <- true;
          always_ready <- always_ready + 1;
          self#wake))

    method private register fd direction call =
      let fd = number fd in
      let w =
        match Hashtbl.find_opt watched fd with
        | Some w -> w
        | None ->
            let w = { callbacks = []; directions = 0; is_always_ready = false } in
            Hashtbl.add watched fd w;
            w
      in
      let callback = { direction; call; is_active = true } in
      w.callbacks <- w.callbacks @ [ callback ];
      self#settle fd w;
      lazy
        (callback.is_active <- false;
         w.callbacks <- List.filter (fun other -> other != callback) w.callbacks;
         self#settle fd w)

    method private register_readable fd call = self#register fd read call
    method private register_writable fd call = self#register fd write call

    method private register_timer delay repeat call =
      let delay = ns delay in
      let key = ref (0, 0) in
      let rec arm at =
        registrations <- registrations + 1;
        key := (at, registrations);
        timers <- Timers.add !key go_off timers
      and go_off () =
        if repeat then arm (Soil.Clock.monotonic_ns () + max 1 delay);
        call ()
      in
      arm (Soil.Clock.monotonic_ns () + delay);
      if fst (fst (Timers.min_binding timers)) = fst !key then self#wake;
      lazy (timers <- Timers.remove !key timers)

    method private next_timer = Option.map fst (Timers.min_binding_opt timers)

    (* Until a descriptor is ready, the next timer, or [wake]. *)
    method private sleep =
      let wait () = Soil.Readiness.await_readable set in
      let wait () =
        match self#next_timer with
        | None -> wait ()
        | Some (at, _) ->
            let left = float_of_int (at - Soil.Clock.monotonic_ns ()) *. 1e-9 in
            ignore (Task.timeout_opt left wait)
      in
      Task.scope (fun scope ->
          sleeping <- Some scope;
          try wait () with Task.Cancelled -> ());
      sleeping <- None;
      Task.check ()

    method private call_back fd directions =
      match Hashtbl.find_opt watched fd with
      | None -> ()
      | Some w ->
          let call callback =
            if callback.is_active && callback.direction land directions <> 0 then callback.call ()
          in
          List.iter call w.callbacks

    method private call_ready =
      (if always_ready > 0 then
         let ready fd w found = if w.is_always_ready then fd :: found else found in
         List.iter (fun fd -> self#call_back fd (read lor write)) (Hashtbl.fold ready watched []));
      let n = epoll_look set events in
      for i = 0 to n - 1 do
        self#call_back events.(2 * i) events.((2 * i) + 1)
      done;
      n > 0 || always_ready > 0

    method private call_due now =
      match Timers.min_binding_opt timers with
      | Some (((at, _) as key), call) when at <= now ->
          timers <- Timers.remove key timers;
          call ();
          self#call_due now
      | _ -> ()

    method private is_due =
      match self#next_timer with Some (at, _) -> at <= Soil.Clock.monotonic_ns () | None -> false

    (* One turn of the loop; what it hasn't done after an exception, the next does. *)
    method private turn block =
      let stepped = Soil_lwt.Driver.step () in
      let called = self#call_ready in
      if stepped || called || (not block) || self#is_due then Task.yield ()
      else (
        self#sleep;
        ignore (Soil_lwt.Driver.step ());
        ignore self#call_ready);
      self#call_due (Soil.Clock.monotonic_ns ())

    method iter block =
      try self#turn block
      with (Out_of_memory | Soil.Error { code = Out_of_memory; _ }) as e ->
        Soil.Private.recover e;
        Task.yield ()
  end

let () =
  let engine = new engine in
  Lwt_engine.set engine;
  Soil_lwt.Driver.register { drive = Lwt_main.run; wake = (fun () -> engine#wake) }
