let duration = 300.
let calm = 120.
let most_descriptors = 8

(* OpenSSL, which conduit uses, reads them at the start. *)
let files = List.map (( ^ ) "/usr/lib/ssl/") [ "openssl.cnf"; "cert.pem" ]

(* A folder is no file: this one stands for the one with certificates. *)
let env = [ ("SSL_CERT_DIR", "/usr/lib/ssl/cert.pem") ]

type request = { started : float; ended : float option }

let requests lines =
  let table = Hashtbl.create 64 in
  let line (time, text) =
    let at = float time /. 1e9 in
    try
      Scanf.sscanf text "start %d" (fun i -> Hashtbl.replace table i { started = at; ended = None })
    with Scanf.Scan_failure _ | Failure _ | End_of_file -> (
      try
        Scanf.sscanf text "end %d:" (fun i ->
            let request = Hashtbl.find table i in
            Hashtbl.replace table i { request with ended = Some at })
      with Scanf.Scan_failure _ | Failure _ | End_of_file -> ())
  in
  List.iter line lines;
  List.sort compare (List.of_seq (Hashtbl.to_seq table))

let check world ~limit client =
  let lines = List.rev (Soil_sim.lines client) in
  let texts = List.map snd lines in
  let fail name text = Soil_sim.fail name text in
  (match List.find_opt (String.starts_with ~prefix:"wrong: ") texts with
  | Some text -> fail "answers" text
  | None -> ());
  let now = float (Soil_sim.now world) /. 1e9 in
  let in_time { started; ended } =
    let last = Float.max started (duration -. calm) +. limit in
    Option.value ended ~default:now <= last
  in
  List.iter
    (fun (i, request) ->
      if not (in_time request) then
        fail "hangs"
          (match request.ended with
          | None -> Printf.sprintf "request %d of %.3f s never ended" i request.started
          | Some at -> Printf.sprintf "request %d of %.3f s ended at %.3f s" i request.started at))
    (requests lines);
  let descriptor text =
    match Scanf.sscanf_opt text "descriptor %d" Fun.id with
    | Some n when n > most_descriptors ->
        fail "leak" (Printf.sprintf "the lowest free descriptor is %d" n)
    | _ -> ()
  in
  List.iter descriptor texts;
  if now >= duration && not (List.mem "done" texts) then fail "ends" "the client didn't end"

let selected clients =
  match Sys.getenv_opt "CLIENT" with
  | None -> clients
  | Some name -> List.filter (fun (n, _) -> String.equal n name) clients

let run ?(limit = 25.) ?(clients = [ ("client", []) ]) ~server () =
  let seconds = Soil_sim.seconds in
  let network = { Soil_sim.Network.lan with loss = 0.005 } in
  Soil_sim.main ~duration:(seconds duration) ~calm:(seconds calm) ~network @@ fun world ->
  let server =
    Soil_sim.node world ~name:"server" ~files ~env ~unmodified:true
      ~at_exit:(Restarts (seconds 1.))
      server
  in
  let client (name, arguments) =
    let arguments = Soil_sim.address server :: arguments in
    Soil_sim.node world ~name ~arguments ~files ~env ~unmodified:true "./client.exe"
  in
  let clients = List.map client clients in
  let every = Soil_sim.every world in
  every (seconds 25.) (Soil_sim.Faults.partition (server :: clients));
  every (seconds 40.) (Soil_sim.Faults.slow_link (server :: clients));
  every ~lasting:(seconds 8.) (seconds 30.) (Soil_sim.Faults.kill [ server ]);
  every ~lasting:(seconds 15.) (seconds 30.) (Soil_sim.Faults.kill_during [ server ]);
  every (seconds 40.) (Soil_sim.Faults.pause [ server ]);
  Soil_sim.sometimes world "a request failed" (fun () ->
      let failed (_, text) =
        String.starts_with ~prefix:"end " text && not (String.ends_with ~suffix:": ok" text)
      in
      List.exists
        (fun client -> match Soil_sim.lines client with line :: _ -> failed line | [] -> false)
        clients);
  Soil_sim.finally world (fun () -> List.iter (check world ~limit) clients)
