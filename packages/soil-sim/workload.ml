module History = Soil_sim_checkers.History

type failure = No_effect | Ambiguous

exception Failure of failure

module type S = sig
  type operation
  type result
  type client

  val connect : number:int -> string list -> client
  val operation : Generate.t -> number:int -> operation
  val perform : client -> operation -> result
  val think : Generate.t -> float
  val operation_to_string : operation -> string
  val result_to_string : result -> string
end

(* What a client says of itself. It is a child of the coordinator's process, so that both have the
   same types. *)
type ('o, 'r) note = Invoked of 'o | Ended of ('r, failure * string) result

let say note =
  let text = Marshal.to_string note [] in
  ignore (Soil_raw_simulation.simulation_note text 0 (String.length text))

let client (type o r) (module W : S with type operation = o and type result = r) ~number ~operations
    ~until ~rng servers () =
  Soil.run @@ fun () ->
  let client = W.connect ~number servers in
  let perform () =
    let operation = W.operation rng ~number in
    say (Invoked operation : (o, r) note);
    let outcome =
      match W.perform client operation with
      | result -> Ok result
      | exception Failure failure -> Error (failure, "")
      | exception Soil.Task.Cancelled -> raise Soil.Task.Cancelled
      | exception e -> Error (Ambiguous, ": " ^ Printexc.to_string e)
    in
    say (Ended outcome : (o, r) note)
  in
  let rec continue left =
    if left > 0 then (
      Soil.Clock.sleep (W.think rng);
      if Soil.Clock.monotonic () < until then (
        perform ();
        continue (left - 1)))
  in
  continue operations

type length = Operations of int | Until of int
type ('o, 'r) pending = { client : int; operation : 'o; invoked : int; id : int }

let start (type o r) world (module W : S with type operation = o and type result = r) ~clients
    ~length servers =
  let operations, until =
    match length with
    | Operations n -> (n, infinity)
    | Until time -> (max_int, float (Clock.monotonic (Clock.create ()) time) /. 1e9)
  in
  let operations =
    Option.fold ~none:operations ~some:(min operations) (World.settings world).operations
  in
  let addresses = List.map (fun node -> Network.address (World.index node)) servers in
  let history : (o, r) History.operation list ref = ref [] in
  let last_exception = ref "" in
  let pending = ref [] and invoked = Array.make clients 0 in
  let log kind fields = Events.add (World.events world) ~at:(World.now world) kind fields in
  let add { client; operation; invoked; _ } outcome =
    history := { History.client; operation; invoked; outcome } :: !history
  in
  let note number text =
    match (Marshal.from_string text 0 : (o, r) note) with
    | Invoked operation ->
        invoked.(number) <- invoked.(number) + 1;
        let id = World.begin_operation world ~of_client:invoked.(number) in
        let text = W.operation_to_string operation in
        log "invoke"
          [ ("client", Text (Printf.sprintf "client%d" number)); ("op", Text text); ("id", Int id) ];
        pending := { client = number; operation; invoked = World.now world; id } :: !pending
    | Ended outcome -> (
        match List.partition (fun p -> p.client = number) !pending with
        | [ p ], others ->
            pending := others;
            World.end_operation world ~has_result:(Result.is_ok outcome);
            let text, outcome =
              match outcome with
              | Ok result ->
                  (W.result_to_string result, History.Returned { at = World.now world; result })
              | Error (No_effect, _) -> ("failed", Failed)
              | Error (Ambiguous, reason) ->
                  if reason <> "" then last_exception := reason;
                  ("unknown" ^ reason, Unknown)
            in
            log "return" [ ("id", Int p.id); ("result", Text text) ];
            add p outcome
        | _ -> ())
  in
  for number = 0 to clients - 1 do
    let rng = World.rng world in
    let run = client (module W) ~number ~operations ~until ~rng addresses in
    let node =
      World.add world
        ~name:(Printf.sprintf "client%d" number)
        ~variables:[] ~disks:[] ~memory:(256 lsl 20) ~at_exit:Fails ~on_note:(note number)
        (Function run)
    in
    ignore node
  done;
  let all () =
    let unknown = List.map (fun p -> (p, History.Unknown)) !pending in
    let unfinished (p, outcome) =
      { History.client = p.client; operation = p.operation; invoked = p.invoked; outcome }
    in
    History.sort (List.rev_append !history (List.map unfinished unknown))
  in
  let is_returned (operation : _ History.operation) =
    match operation.outcome with Returned _ -> true | Failed | Unknown -> false
  in
  let check () =
    let fail = World.fail ~check:"workload" in
    match (!history, !pending) with
    | [], [] ->
        fail
          "no client has begun an operation: connect hasn't returned, or the first wait (think) is \
           longer than the run"
    | [], _ -> fail "no operation has ended: end each after a time (Soil.Task.timeout in perform)"
    | history, _ ->
        if not (List.exists is_returned history) then
          fail ("no operation has returned a result" ^ !last_exception)
  in
  (all, check)
