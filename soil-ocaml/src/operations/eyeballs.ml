(* RFC 8305 §5: between 100 ms and 2 s, 250 ms recommended. *)
let attempt_delay = 0.25

(* RFC 8305 §3: the time for which IPv4 addresses wait for IPv6 ones. *)
let resolution_delay = 0.05

(* RFC 8305 §4: families take turns, beginning with that of the first. *)
let interleave addresses =
  match addresses with
  | [] -> []
  | first :: _ ->
      let same, other = List.partition (fun a -> Address.is_v4 a = Address.is_v4 first) addresses in
      let rec turns = function
        | [], rest | rest, [] -> rest
        | a :: l, rest -> a :: turns (rest, l)
      in
      turns (same, other)

let order addresses =
  let addresses, reachable = Lookup.reachable_first addresses in
  (* Addresses without a route are tried only if there are no others, to get an error. *)
  interleave
    (if reachable = 0 then addresses else List.filteri (fun i _ -> i < reachable) addresses)

(* A global unicast address, to test for any route to IPv6. *)
let beyond = Address.of_octets ("\x20" ^ String.make 15 '\x01')

type state = {
  changed : Sync.Condition.t;
  mutable resolving : int;  (** Running lookups. *)
  mutable untried : Address.t list;
  mutable tried : Address.t list;
  mutable running : int;  (** Running attempts. *)
  mutable failures : int;
  mutable reason : (exn * Failure.backtrace) option;  (** The failure of the last one. *)
}

let wait state seconds =
  ignore (Task.timeout_opt seconds (fun () -> Sync.Condition.wait_no_mutex state.changed))

(* Waits until [holds ()], for at most [seconds]. *)
let wait_until state seconds holds =
  let at = Clock.monotonic () +. seconds in
  let rec go () =
    let rest = at -. Clock.monotonic () in
    if rest > 0. && not (holds ()) then (
      wait state rest;
      go ())
  in
  go ()

let note state e =
  match e with
  | Error.Error _ -> state.reason <- Some (e, Failure.get_backtrace ())
  | e -> Soil_backtrace.reraise e (Failure.get_backtrace ())

let resolve state name family () =
  (match Lookup.addresses family name with
  | found -> state.untried <- order (state.untried @ found)
  | exception e -> note state e);
  state.resolving <- state.resolving - 1;
  Sync.Condition.broadcast state.changed

let race ~connect ~close ~timeout name families =
  let state =
    {
      changed = Sync.Condition.create ();
      resolving = List.length families;
      untried = [];
      tried = [];
      running = 0;
      failures = 0;
      reason = None;
    }
  in
  let won = ref None in
  let is_won () = match !won with None -> false | Some _ -> true in
  let attempt address () =
    (match Deadline.within (Some timeout) (fun () -> connect address) with
    | d when is_won () -> close d
    | d -> won := Some d
    | exception e ->
        note state e;
        state.failures <- state.failures + 1);
    state.running <- state.running - 1;
    Sync.Condition.broadcast state.changed
  in
  let rec go scope =
    match state.untried with
    | _ when is_won () -> Task.cancel_scope scope
    | address :: rest ->
        state.untried <- rest;
        if not (List.mem address state.tried) then (
          state.tried <- address :: state.tried;
          state.running <- state.running + 1;
          ignore (Task.spawn scope (attempt address));
          let failures = state.failures in
          wait_until state attempt_delay (fun () -> is_won () || state.failures > failures));
        go scope
    | [] ->
        if state.resolving > 0 || state.running > 0 then (
          wait state infinity;
          go scope)
  in
  let body scope =
    List.iter (fun family -> ignore (Task.spawn scope (resolve state name family))) families;
    let has_v6 () = List.exists (fun a -> not (Address.is_v4 a)) state.untried in
    wait_until state infinity (fun () -> state.untried <> [] || state.resolving = 0);
    wait_until state resolution_delay (fun () -> has_v6 () || state.resolving = 0);
    go scope
  in
  Failure.undoing (fun () -> Option.iter close !won) (fun () -> Task.scope body);
  match (!won, state.reason) with
  | Some d, _ -> d
  | None, Some (e, backtrace) -> Soil_backtrace.reraise e backtrace
  | None, None -> Error.fail No_such_host Lookup.operation ~subject:name

(* [f] of the first element for which it succeeds. *)
let rec first_of f = function
  | [] -> assert false
  | [ last ] -> f last
  | x :: rest -> ( match f x with v -> v | exception Error.Error _ -> first_of f rest)

(* Of a thread, which has no tasks: one address after the other. *)
let in_turn ~connect ~timeout name =
  first_of
    (fun address -> Deadline.within (Some timeout) (fun () -> connect address))
    (order (Lookup.addresses `Any name))

let connect ~connect ~close ~timeout name =
  match Address.of_string_opt name with
  | Some address -> Deadline.within (Some timeout) (fun () -> connect address)
  | None ->
      let families =
        if String.lowercase_ascii name = "localhost" then [ `Any ]
        else
          let wait_up token = Soil_raw_net.net_up token in
          ignore (Scheduler.operation ~operation:Lookup.operation ~subject:name wait_up);
          if snd (Lookup.reachable_first [ beyond ]) > 0 then [ `V6; `V4 ] else [ `V4 ]
      in
      if Owner.is_other () then in_turn ~connect ~timeout name
      else if Scheduler.in_task () then race ~connect ~close ~timeout name families
      else Scheduler.run (fun () -> race ~connect ~close ~timeout name families)
