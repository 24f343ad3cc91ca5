(* A server of a replicated key-value store. Its settings are in the environment (README.md). *)

open Replicated

let data () = Soil.Needs.volume "data" ~doc:"the log and the snapshots"

(* A server whose disk fails doesn't go on: its promises may be lost. *)
let () =
  try
    let settings = Settings.of_environment ~data in
    Soil.run @@ fun () -> Server.run settings
  with
  | Soil.Error e ->
      prerr_endline ("replicated: the server ends: " ^ Soil.Error.to_string e);
      exit 1
  | (Settings.Invalid _ | Storage.Damaged _ | Failure _) as e ->
      prerr_endline (Printexc.to_string e);
      exit 1
