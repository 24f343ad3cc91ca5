(* A TLS server renews its certificate, which is valid for 40 s, from an issuer, and stores it on
   its disk. Clients verify it by their clocks. After each start the server must have a whole pair
   of certificate and key, at least as new as the last that it said to be stored. *)

module Tls = Soil_tls
module Faults = Soil_sim.Faults
module World = Soil_sim.World

let second = Soil_sim.seconds 1.

(* The wall clock's beginning, and the validity of certificate [n] ([certificates/make.sh]). *)
let epoch = 1_735_689_600.
let valid_from n = epoch +. float ((10 * n) - 15)
let valid_to n = epoch +. float ((10 * n) + 25)
let count = 10
let read name = In_channel.with_open_bin ("certificates/" ^ name) In_channel.input_all
let root = read "root.pem"

(* Each text begins with its number: PEM ignores what is before its first line. *)
let pairs =
  Array.init count (fun n ->
      let text kind = Printf.sprintf "number %d\n%s" n (read (Printf.sprintf "%d.%s" n kind)) in
      (text "pem", text "key"))

let number_in text =
  let rec find i =
    if i >= String.length text then None
    else
      match Scanf.sscanf_opt (String.sub text i (String.length text - i)) "number %d" Fun.id with
      | Some n -> Some n
      | None -> find (i + 1)
  in
  find 0

(* The issuer *)

let newest () = min (count - 1) (int_of_float ((Soil.Clock.now () -. epoch) /. 10.))

let issue () =
  Soil.Tcp.serve (Soil.Tcp.listen ~port:7 ()) @@ fun conn ->
  let chain, key = pairs.(newest ()) in
  let lengths = Printf.sprintf "%d %d\n" (String.length chain) (String.length key) in
  Soil.File_descriptor.write_string conn (lengths ^ chain ^ key)

let fetch issuer =
  Soil.Task.timeout 2. @@ fun () ->
  Soil.Tcp.with_connection (Soil.Net.Endpoint.of_string (issuer ^ ":7")) @@ fun conn ->
  let reader = Soil.Reader.create conn in
  let take n = Soil.Reader.take reader n in
  Scanf.sscanf (Soil.Reader.line reader) "%d %d" (fun chain key ->
      let chain = take chain in
      (chain, take key))

(* The server *)

let current = "/data/current"
let files = [ (current ^ "/chain.pem", current ^ "/key.pem") ]

let write path text =
  Soil.Fs.with_file ~mode:Truncate path @@ fun file ->
  Soil.File_descriptor.write_string file text;
  Soil.Fs.sync file

(* A pair is a folder, and a link that is replaced atomically says which one counts. *)
let store (chain, key) =
  let folder = Printf.sprintf "/data/%d" (Soil.Random.int max_int) in
  Soil.Fs.mkdir folder;
  write (folder ^ "/chain.pem") chain;
  write (folder ^ "/key.pem") key;
  Soil.Fs.symlink ~target:folder (folder ^ ".link");
  Soil.Fs.rename (folder ^ ".link") current;
  Soil.Fs.sync_volume "/data"

let number path =
  match number_in (Soil.Fs.read_file path) with
  | Some n -> n
  | None -> failwith (path ^ " has no number")

(* The disk and the network may fail for a while. *)
let rec persist f =
  match f () with
  | v -> v
  | exception (Soil.Error { code; _ } as e) when code <> Bad_configuration ->
      Printf.printf "fails: %s\n%!" (Printexc.to_string e);
      Soil.Clock.sleep 0.5;
      persist f
  | exception Soil.Task.Timeout _ ->
      Soil.Clock.sleep 0.5;
      persist f

let renew issuer =
  persist @@ fun () ->
  let ((chain, _) as pair) = fetch issuer in
  store pair;
  Printf.printf "stored %d\n%!" (Option.get (number_in chain))

let load () =
  let chain, key = List.hd files in
  Printf.printf "has %d %d\n%!" (number chain) (number key)

let serve issuer () =
  if not (persist (fun () -> Soil.Fs.exists (snd (List.hd files)))) then renew issuer;
  persist load;
  let certificates = persist (fun () -> Tls.Files.certificates files) in
  let config = Tls.server_config certificates in
  let rec watch () =
    Soil.Clock.sleep 1.;
    let has = persist (fun () -> number (fst (List.hd files))) in
    if Soil.Clock.now () > valid_to has -. 15. && newest () > has then (
      renew issuer;
      persist (fun () -> Tls.Files.reload certificates files);
      persist load);
    watch ()
  in
  let answer conn =
    Tls.with_server config conn @@ fun c ->
    let reader = Soil.Reader.create c in
    Soil.File_descriptor.write_string c (Soil.Reader.line reader ^ "\n")
  in
  let on_error _ _ = () in
  Soil.Task.both watch (fun () -> Soil.Tcp.serve ~on_error (Soil.Tcp.listen ~port:443 ()) answer)
  |> ignore

(* The clients *)

type result =
  | Accepted of { number : int; resumed : bool }
  | Refused of { number : int; why : string }

module Load = struct
  type operation = int

  type nonrec result = float * result * float
  (** With the client's times before and after. *)

  type client = { address : string; config : Tls.client_config }

  let connect ~number servers =
    (* The last client resumes no sessions, and so verifies each time. *)
    let sessions = if number = 2 then 0 else 256 in
    let config = Tls.client_config ~sessions [ Tls.pem root ] in
    { address = List.hd servers; config }

  let operation _ ~number = number

  let perform client _ =
    let before = Soil.Clock.now () in
    let result =
      Soil.Task.timeout 4. @@ fun () ->
      let conn = Soil.Tcp.connect (Soil.Net.Endpoint.of_string (client.address ^ ":443")) in
      match
        Tls.with_client client.config ~host:"server.test" conn @@ fun c ->
        Soil.File_descriptor.write_string c "hello\n";
        if Soil.Reader.(line (create c)) <> "hello" then failwith "another answer";
        (Option.bind (Tls.peer_name c) number_in, Tls.resumed c)
      with
      | Some number, resumed -> Accepted { number; resumed }
      | None, _ -> failwith "a certificate without a number"
      | exception Soil.Error { code = Certificate; detail; _ } ->
          let number = Option.value (number_in detail) ~default:(-1) in
          Refused { number; why = detail }
    in
    (before, result, Soil.Clock.now ())

  let think rng = 0.2 +. Soil_sim.Generate.float rng 0.6
  let operation_to_string number = Printf.sprintf "client %d connects" number

  let result_to_string (_, result, _) =
    match result with
    | Accepted { number; resumed } ->
        Printf.sprintf "accepts %d%s" number (if resumed then ", resumed" else "")
    | Refused { number; why } -> Printf.sprintf "refuses %d: %s" number why
end

(* What the server says: the pairs are whole, and no older than the last that is stored. *)
let check_server () =
  let stored = ref (-1) in
  fun text ->
    match String.split_on_char ' ' text with
    | [ "stored"; n ] -> stored := max !stored (int_of_string n)
    | [ "has"; chain; key ] ->
        if chain <> key then Soil_sim.fail "pair" ("certificate " ^ chain ^ ", key " ^ key);
        if int_of_string chain < !stored then
          Soil_sim.fail "durable" (Printf.sprintf "has %s after %d was stored" chain !stored)
    | _ -> ()

let check_result (operation : _ Soil_sim.History.operation) =
  match operation.outcome with
  | Failed | Unknown -> ()
  | Returned { result = before, result, after; _ } -> (
      (* The client's clock may have been stepped meanwhile. *)
      let first = min before after
      and last = max before after in
      match result with
      | Accepted { number; resumed } ->
          (* A session goes on if the client's clock goes back. *)
          let too_early = last < valid_from number && not resumed in
          if too_early || first > valid_to number +. 1. then
            Soil_sim.fail
              (if resumed then "resumed" else "accepted")
              (Printf.sprintf "certificate %d, valid from %.3f to %.3f s, at %.3f s" number
                 (valid_from number -. epoch)
                 (valid_to number -. epoch)
                 (first -. epoch))
      | Refused { number; why } ->
          if number < 0 || (first >= valid_from number && last <= valid_to number) then
            Soil_sim.fail "refused" why)

let () =
  Soil_sim.main ~duration:(80 * second) ~calm:(25 * second) @@ fun world ->
  let issuer = Soil_sim.task world ~name:"issuer" issue in
  let disks = [ ("data", Soil_sim.Ext4 (Soil_sim.mib 16)) ] in
  let server = Soil_sim.task world ~name:"server" ~disks (serve (Soil_sim.address issuer)) in
  Soil_sim.on_line server (check_server ());
  let history = Soil_sim.workload world (module Load) ~clients:3 ~operations:1000 [ server ] in
  let every seconds ?lasting fault =
    Soil_sim.every world
      ?lasting:(Option.map Soil_sim.seconds lasting)
      (Soil_sim.seconds seconds) fault
  in
  (* The first client may have another time. *)
  let first_client =
    Faults.make ~name:"clock step" (fun world rng ->
        let client = List.find (fun node -> World.name node = "client0") (World.nodes world) in
        Faults.inject (Faults.clock_step ~most:20. [ client ]) world rng)
  in
  (* Half of the seeds have servers with the right time. *)
  let is_stepped = Soil_sim.Generate.bool (Soil_sim.rng world) in
  if is_stepped then every 20. (Faults.clock_step [ server ]);
  every 20. first_client;
  every 8. ~lasting:1. (Faults.kill_during [ server ]);
  every 6. ~lasting:1. (Faults.power_cut [ server ]);
  every 10. (Faults.disk_errors ~share:0.2 [ server ]);
  every 9. ~lasting:3. (Faults.lossy [ issuer; server ]);
  every 15. ~lasting:4. (Faults.isolate [ issuer ]);
  let results = ref [] in
  Soil_sim.finally world (fun () ->
      results := history ();
      List.iter check_result !results;
      let late = 65 * second and early = 75 * second in
      let check (operation : _ Soil_sim.History.operation) =
        if operation.invoked > late && operation.invoked < early then
          match operation.outcome with
          | Failed | Unknown -> Soil_sim.fail "calm" "a handshake fails without a fault"
          | Returned { result = _, Refused { why; _ }, _; _ }
            when operation.client <> 0 && not is_stepped ->
              Soil_sim.fail "renewal" why
          | Returned _ -> ()
      in
      List.iter check !results;
      if List.length !results < 100 then Soil_sim.fail "progress" "less than 100 handshakes")
