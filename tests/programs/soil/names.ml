(* Names and time. The arguments are commands with one argument each, run one after the other:
   services NAME, texts NAME, reverse ADDRESS, lookup NAME, timeout NAME, connect NAME:PORT,
   clock SECONDS, announce PORT (the name of this machine, until a datagram comes there). *)

let list l = String.concat " " l

let connect target =
  match String.split_on_char ':' target with
  | [ name; port ] ->
      let start = Soil.Clock.monotonic () in
      let connection = Soil.Tcp.connect_host name ~port:(int_of_string port) in
      let peer = Soil.Net.Endpoint.to_string (Soil.Tcp.peer connection) in
      let open_connections = List.length (Soil.Net.connections ()) in
      let answer = Soil.File_descriptor.read_all connection in
      Soil.File_descriptor.close connection;
      Printf.sprintf "%s after %.2f s, %d connections, says %s" peer
        (Soil.Clock.monotonic () -. start)
        open_connections (String.trim answer)
  | _ -> failwith target

(* The time of day, once it differs from what it was at the start by more than an hour. *)
let clock seconds =
  let difference () = Soil.Clock.now () -. Soil.Clock.monotonic () in
  let first = difference () in
  let rec go rest =
    if abs_float (difference () -. first) > 3600. then
      Printf.sprintf "set to %.0f" (Soil.Clock.now ())
    else if rest <= 0. then "not set"
    else (
      Soil.Clock.sleep 0.05;
      go (rest -. 0.05))
  in
  go seconds

(* Announces its name and prints it, until it is stopped. *)
let announce port =
  Soil.Net.wait_up ();
  if not (Soil.Mdns.announce ()) then "no name"
  else
    let rec tell told =
      let name = Option.value (Soil.Mdns.name ()) ~default:"" in
      if name <> told && name <> "" then Printf.printf "name %s\n%!" name;
      Soil.Clock.sleep 0.05;
      tell (if name = "" then told else name)
    in
    let told_to_stop () =
      let d = Soil.Udp.bind ~port () in
      ignore (Soil.Udp.receive d (Bytes.create 10) 0 10)
    in
    Soil.Task.first [ (fun () -> tell ""); told_to_stop ];
    "done"

let command name argument =
  match name with
  | "services" ->
      let service (host, port) = Printf.sprintf "%s:%d" host port in
      list (List.map service (Soil.Dns.services argument))
  | "texts" ->
      let text s = if String.length s > 40 then string_of_int (String.length s) ^ " bytes" else s in
      list (List.map text (Soil.Dns.texts argument))
  | "reverse" -> list (Soil.Dns.reverse (Soil.Net.Address.of_string argument))
  | "lookup" ->
      list (List.sort compare (List.map Soil.Net.Address.to_string (Soil.Dns.lookup argument)))
  | "timeout" -> (
      match Soil.Dns.lookup ~timeout:0.5 argument with
      | _ -> "found"
      | exception Soil.Error e -> Soil.Error.to_string e)
  | "connect" -> connect argument
  | "clock" ->
      Soil.Net.wait_up ();
      clock (float_of_string argument)
  | "announce" -> announce (int_of_string argument)
  | _ -> "unknown command"

let rec run = function
  | name :: argument :: rest ->
      let outcome =
        match command name argument with
        | text -> text
        | exception Soil.Error e -> Soil.Error.message e.code
      in
      Printf.printf "%s %s: %s\n%!" name argument outcome;
      run rest
  | _ -> ()

let () = Soil.run @@ fun () -> run (List.tl (Array.to_list Sys.argv))
