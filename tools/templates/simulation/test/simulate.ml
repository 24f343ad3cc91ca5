(* The server in virtual time, with clients and faults that a seed draws. `soil simulate` runs this
   once for each seed. *)
module Model = Soil_sim.Models.Register
module Generate = Soil_sim.Generate
module Faults = Soil_sim.Faults

(* The clients. *)
module Load = struct
  type operation = Model.operation
  type result = Model.result
  type client = Soil.Net.endpoint

  let connect ~number:_ servers = Soil.Net.Endpoint.of_string (List.hd servers ^ ":7000")

  let operation rng ~number : operation =
    if Generate.bool rng then Read "value"
    else
      let value = Printf.sprintf "%d-%d" number (Generate.int rng 1_000_000_000) in
      Write { key = "value"; value }

  let line : operation -> string = function
    | Read _ -> "read"
    | Write { value; _ } -> "write " ^ value
    | Compare_and_set _ | Delete _ -> invalid_arg "the register has no such operation"

  let result line : result =
    match String.split_on_char ' ' line with
    | [ "value"; value ] -> Value (Some value)
    | [ "none" ] -> Value None
    | [ "ok" ] -> Done
    | _ -> failwith line

  let no_effect () = raise (Soil_sim.Workload.Failure No_effect)

  let perform endpoint operation =
    let connection =
      try Soil.Tcp.connect ~timeout:1. endpoint with Soil.Error _ -> no_effect ()
    in
    Fun.protect ~finally:(fun () -> Soil.File_descriptor.close connection) @@ fun () ->
    Soil.Task.timeout 2. @@ fun () ->
    Soil.File_descriptor.write_string connection (line operation ^ "\n");
    result (Soil.Reader.line (Soil.Reader.create connection))

  let think rng = Generate.float rng 0.5
  let operation_to_string = Model.pp_operation
  let result_to_string = Model.pp_result
end

let () =
  Soil_sim.main @@ fun world ->
  let server =
    Soil_sim.node world ~name:"server" ~disks:[ ("data", Ext4 (Soil_sim.mib 16)) ] "../main.exe"
  in
  let every seconds fault = Soil_sim.every world (Soil_sim.seconds seconds) (fault [ server ]) in
  every 10. Faults.kill_during;
  every 10. Faults.power_cut;
  every 15. Faults.isolate;
  every 15. Faults.slow_disk;
  let history = Soil_sim.workload world (module Load) ~clients:4 [ server ] in
  Soil_sim.sometimes world "the server is down" (fun () -> not (Soil_sim.is_up server));
  Soil_sim.finally world (fun () ->
      Soil_sim.check "linearizable" (Soil_sim.Linearizable.check (module Model) (history ())))
