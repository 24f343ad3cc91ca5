open Soil_sim
module Register = Models.Register

let second = seconds 1.

(* A fault that is two others at once. *)
let together name first other =
  Faults.make ~name (fun world rng ->
      match (Faults.inject first world rng, Faults.inject other world rng) with
      | Some (what, undo), Some (also, undo_other) ->
          let undo () =
            undo ();
            undo_other ()
          in
          Some (what ^ ", " ^ also, undo)
      | (Some _ as one), None | None, one -> one)

let run
    (module Load : Workload.S
      with type operation = Register.operation
       and type result = Register.result) =
  main ~duration:(60 * second) ~calm:(15 * second) @@ fun world ->
  let server i =
    node world ~name:(Printf.sprintf "db%d" i)
      ~env:[ ("DB_ID", string_of_int i) ]
      ~disks:[ ("data", Ext4 (mib 16)) ]
      "../bin/db.exe"
  in
  let db = List.init 3 server in
  (* Each lasts for about half of the period. *)
  every world (8 * second) (Faults.partition db);
  every world (10 * second) (Faults.power_cut db);
  every world (20 * second) ~lasting:second
    (together "kill and step" (Faults.kill db) (Faults.clock_step db));
  let history = workload world (module Load) ~clients:5 db in
  let leaders = ref 0 in
  let on_line text = if String.ends_with ~suffix:"leader" text then incr leaders in
  List.iter (fun node -> Soil_sim.on_line node on_line) db;
  always world "few elections" (fun () -> !leaders < 100);
  sometimes world "a second leader" (fun () -> !leaders > 1);
  finally world (fun () -> check "linearizable" (Linearizable.check (module Register) (history ())))
