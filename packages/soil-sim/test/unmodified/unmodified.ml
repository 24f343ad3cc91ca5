(* Programs without Soil as nodes: echo servers and their clients, on a network that loses frames
   and falls apart. Every line comes back. With an argument: that program alone. *)

let seconds = Soil_sim.seconds

let echoes world =
  let node = Soil_sim.node world ~unmodified:true in
  let servers = [ ("select", node ~name:"select" "./select_echo.exe") ] in
  let servers =
    if Sys.file_exists "./lwt_echo.exe" then
      let lwt name arguments = (name, node ~name ~arguments "./lwt_echo.exe") in
      servers @ [ lwt "lwt" []; lwt "lwt-select" [ "select" ] ]
    else servers
  in
  let client (name, _) = node ~name:("client-of-" ^ name) ~arguments:[ name ] "./client.exe" in
  let clients = List.map client servers in
  let calls = node ~name:"calls" "./calls.exe" in
  let part ?at_exit name = node ?at_exit ~name ~arguments:[ name ] "./calls.exe" in
  let hears = part "hears" in
  ignore (part "sleeps");
  let speaking = [ "speaks"; "frees"; "waits" ] in
  let speakers = List.map (part ~at_exit:(Restarts (seconds 30.))) speaking in
  let holds = part ~at_exit:(Restarts (seconds 1.)) "holds" in
  let stopped = node ~name:"stopped" ~at_exit:(Restarts (seconds 1.)) "./stopped.exe" in
  Soil_sim.every world (seconds 5.) (Soil_sim.Faults.partition (List.map snd servers @ clients));
  Soil_sim.every world (seconds 20.) (Soil_sim.Faults.kill (List.map snd servers));
  Soil_sim.every world (seconds 10.) (Soil_sim.Faults.stop [ stopped ]);
  (* Ends by SIGTERM, which it doesn't handle. *)
  Soil_sim.every world (seconds 30.) (Soil_sim.Faults.stop [ List.assoc "select" servers ]);
  Soil_sim.every world (seconds 10.) (Soil_sim.Faults.stop [ holds ]);
  Soil_sim.finally world (fun () ->
      let rec in_order = function
        | "recvfrom: Interrupted system call" :: "SIGTERM" :: "waits" :: rest -> in_order rest
        | [ "waits" ] | [] -> true
        | _ -> false
      in
      let lines = List.map snd (Soil_sim.lines stopped) in
      let whole = match lines with "waits" :: rest -> rest | lines -> lines in
      let expect node name line =
        let lines = List.map snd (Soil_sim.lines node) in
        if List.exists (( <> ) line) lines then Soil_sim.fail name (String.concat "\n" lines)
      in
      expect holds "holds" "stopped";
      List.iter (fun speaker -> expect speaker "speaks" "") speakers;
      let heard = List.sort_uniq compare (List.map snd (Soil_sim.lines hears)) in
      if heard <> List.sort compare speaking then Soil_sim.fail "hears" (String.concat "\n" heard);
      if Soil_sim.lines holds = [] then Soil_sim.fail "holds" "nothing";
      let lines_of_calls = List.map snd (Soil_sim.lines calls) in
      if lines_of_calls <> [ "done" ] then Soil_sim.fail "calls" (String.concat "\n" lines_of_calls);
      if whole = [] || not (in_order whole) then
        Soil_sim.fail "stopped" (String.concat "\n" (List.rev lines));
      List.iter2
        (fun (name, _) client ->
          let lines = List.rev_map snd (Soil_sim.lines client) in
          let echoes = List.filter (String.starts_with ~prefix:"echo ") lines in
          let expected = List.init 20 (fun i -> Printf.sprintf "echo %s %d" name (i + 1)) in
          if echoes <> expected then Soil_sim.fail name (String.concat "\n" lines))
        servers clients)

let () =
  let network = { Soil_sim.Network.lan with loss = 0.02 } in
  Soil_sim.main ~duration:(seconds 120.) ~calm:(seconds 60.) ~network @@ fun world ->
  match Sys.argv with
  | [| _; program |] -> ignore (Soil_sim.node world ~unmodified:true ~name:"other" program)
  | _ -> echoes world
