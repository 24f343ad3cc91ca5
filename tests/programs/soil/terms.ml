(* Arguments by cmdliner, one of which is a need. *)
open Cmdliner

let port =
  let doc = "Say $(docv)." and docv = "PORT" in
  let number = Arg.(value & opt Soil_cmdliner.port 80 & info [ "port" ] ~docv ~doc) in
  Term.(const (Soil.Needs.port "http") $ number)

let data = Term.(const (fun () -> Soil.Needs.volume "data") $ const ())
let size = Arg.(value & opt Soil_cmdliner.size 65536 & info [ "size" ] ~doc:"A size.")
let wait = Arg.(value & opt Soil_cmdliner.seconds 0.5 & info [ "wait" ] ~doc:"A time.")
let peers = Arg.(value & opt_all Soil_cmdliner.Net.endpoint [] & info [ "peer" ] ~doc:"A peer.")
let inside = Arg.(value & opt (some Soil_cmdliner.Net.prefix) None & info [ "in" ] ~doc:"A net.")
let word = Arg.(required & pos 0 (some string) None & info [] ~docv:"WORD" ~doc:"A word.")

let run port data size wait peers inside word () =
  Printf.printf "%s %d %s %d %g\n" word port data size wait;
  List.iter (fun peer -> print_endline (Soil.Net.Endpoint.to_string peer)) peers;
  Option.iter (fun net -> print_endline (Soil.Net.Prefix.to_string net)) inside;
  Soil.Task.scope (fun scope ->
      ignore (Soil.Task.spawn scope (fun () -> print_endline "in a task")));
  if word = "fail" then Error "as asked" else Ok ()

let () =
  let info = Cmd.info "terms" ~version:"1.2.3" ~doc:"shows its arguments" in
  let term = Term.(const run $ port $ data $ size $ wait $ peers $ inside $ word) in
  Soil_cmdliner.main_result (Cmd.v info term)
