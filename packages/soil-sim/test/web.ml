(* Two web servers, a proxy before them, and clients with a pool of connections, all of Soil's own
   library. A response must be the answer to its request, whatever fails; without faults all
   requests succeed. *)

module Server = Soil_http.Server
module Client = Soil_http.Client
module Proxy = Soil_http.Proxy
module Generate = Soil_sim.Generate
module Faults = Soil_sim.Faults

let second = Soil_sim.seconds 1.

(* 64 bytes to 64 KiB, by the name. *)
let contents name =
  let length = 64 lsl (Hashtbl.hash name mod 11) in
  String.init length (fun i -> name.[i mod String.length name])

let serve () =
  Server.serve (Soil.Tcp.listen ~port:80 ()) @@ fun request ->
  Soil.Clock.sleep 0.002;
  Server.string (contents (Server.path request))

let proxy backends () =
  let uri address = Uri.of_string ("http://" ^ address) in
  Soil.Task.scope @@ fun scope ->
  let health : Proxy.health = { path = "/health"; interval = 1.; fall = 2; rise = 1 } in
  let on_failure _ _ = () in
  let proxy = Proxy.create ~health ~on_failure scope (List.map uri backends) in
  Server.serve (Soil.Tcp.listen ~port:80 ()) (Proxy.handle proxy)

module Load = struct
  type operation = string

  type result = bool
  (** Whether the body is that of the path. *)

  type client = { pool : Client.t; address : string }

  let connect ~number:_ servers =
    { pool = Client.create ~connect_seconds:2. (); address = List.hd servers }

  let operation rng ~number = Printf.sprintf "/%d-%d" number (Generate.int rng 1_000_000)

  let perform client path =
    let uri = Uri.of_string ("http://" ^ client.address ^ path) in
    let response, body = Soil.Task.timeout 5. (fun () -> Client.get client.pool uri) in
    match response.status with
    | `OK -> String.equal body (contents path)
    | _ -> raise (Soil_sim.Workload.Failure No_effect)

  let think rng = Generate.float rng 0.2
  let operation_to_string path = "GET " ^ path
  let result_to_string = string_of_bool
end

let () =
  Soil_sim.main ~duration:(40 * second) ~calm:(15 * second) @@ fun world ->
  let backends =
    List.init 2 (fun i -> Soil_sim.task world ~name:(Printf.sprintf "web%d" i) serve)
  in
  let proxy = Soil_sim.task world ~name:"proxy" (proxy (List.map Soil_sim.address backends)) in
  let history = Soil_sim.workload world (module Load) ~clients:4 ~operations:1000 [ proxy ] in
  let all = proxy :: backends in
  let every seconds fault nodes = Soil_sim.every world (Soil_sim.seconds seconds) (fault nodes) in
  every 3. Faults.kill_during backends;
  every 7. Faults.kill_during [ proxy ];
  every 6. Faults.isolate backends;
  every 5. Faults.lossy all;
  every 5. Faults.unordered all;
  every 8. Faults.slow_reader all;
  every 9. Faults.pause backends;
  every 9. Faults.slow_link all;
  Soil_sim.finally world (fun () ->
      let history = history () in
      let late = 30 * second in
      let check (operation : _ Soil_sim.History.operation) =
        match operation.outcome with
        | Returned { result = false; _ } -> Soil_sim.fail "integrity" operation.operation
        | (Failed | Unknown) when operation.invoked > late && operation.invoked < 34 * second ->
            Soil_sim.fail "calm" (operation.operation ^ " fails without a fault")
        | _ -> ()
      in
      List.iter check history;
      if List.length history < 200 then Soil_sim.fail "progress" "less than 200 requests")
