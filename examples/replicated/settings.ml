type t = {
  id : int;
  address : string;
  members : Message.configuration;
  peers : (int * string) list;
  data : string;
  snapshot : int;
  digest : int option;
  connections : int;
  raft : State.settings;
}

exception Invalid of string

let () =
  Printexc.register_printer (function
    | Invalid reason -> Some ("replicated: " ^ reason)
    | _ -> None)

let invalid name value expected =
  raise (Invalid (Printf.sprintf "%s=%s: expected %s" name value expected))

let parse name ~expected parse ~default =
  match Sys.getenv_opt name with
  | None -> default ()
  | Some value -> ( match parse value with Some v -> v | None -> invalid name value expected)

let required name expected () = raise (Invalid (name ^ " isn't set: set it to " ^ expected))

let at_least least s =
  Option.bind (int_of_string_opt s) (fun n -> if n < least then None else Some n)

let seconds ms = float_of_int ms /. 1000.

let addresses s =
  let l = String.split_on_char ',' s in
  if List.for_all (fun a -> Soil.Net.Endpoint.of_string_opt a <> None) l then Some l else None

let range s =
  match List.map (at_least 1) (String.split_on_char '-' s) with
  | [ Some least; Some most ] when least <= most -> Some (seconds least, seconds most)
  | _ -> None

let raft () =
  let default = State.default_settings in
  let heartbeat =
    parse "REPLICATED_HEARTBEAT" ~expected:"milliseconds between heartbeats, such as 50"
      (fun s -> Option.map seconds (at_least 1 s))
      ~default:(fun () -> default.heartbeat)
  in
  let election =
    parse "REPLICATED_ELECTION" ~expected:"a range of milliseconds, such as 150-300" range
      ~default:(fun () -> default.election)
  in
  if heartbeat >= fst election then
    raise
      (Invalid
         "REPLICATED_HEARTBEAT must be less than the least time of REPLICATED_ELECTION: followers \
          wait that long for a heartbeat");
  let batch =
    parse "REPLICATED_BATCH" ~expected:"a number of bytes, at least 1" (at_least 1)
      ~default:(fun () -> default.batch)
  in
  { default with heartbeat; election; batch }

let of_environment ~data =
  let expected = "this server's number, from 0" in
  let id =
    parse "REPLICATED_ID" ~expected (at_least 0) ~default:(required "REPLICATED_ID" expected)
  in
  let expected = "addresses with ports, such as 10.0.0.1:7000,10.0.0.2:7000" in
  let addresses =
    parse "REPLICATED_PEERS" ~expected addresses ~default:(required "REPLICATED_PEERS" expected)
  in
  let joins =
    parse "REPLICATED_JOIN" ~expected:"0 or 1"
      (function "0" -> Some false | "1" -> Some true | _ -> None)
      ~default:(fun () -> false)
  in
  let address =
    match List.nth_opt addresses id with
    | Some address -> address
    | None ->
        raise
          (Invalid
             (Printf.sprintf
                "REPLICATED_ID=%d: REPLICATED_PEERS has only %d addresses: the first one belongs \
                 to the server 0"
                id (List.length addresses)))
  in
  let peers = List.mapi (fun id address -> (id, address)) addresses in
  let member (id, address) : Message.member = { id; address; voter = true } in
  {
    id;
    address;
    members = (if joins then [] else List.map member peers);
    peers;
    data = (match Sys.getenv_opt "REPLICATED_DATA" with Some path -> path | None -> data ());
    snapshot =
      parse "REPLICATED_SNAPSHOT" ~expected:"a number of entries, at least 1" (at_least 1)
        ~default:(fun () -> 1000);
    digest =
      parse "REPLICATED_DIGEST" ~expected:"a number of entries, at least 1"
        (fun s -> Option.map Option.some (at_least 1 s))
        ~default:(fun () -> None);
    connections =
      parse "REPLICATED_CONNECTIONS" ~expected:"a number of connections, at least 1" (at_least 1)
        ~default:(fun () -> 64);
    raft = raft ();
  }

let port t = (Soil.Net.Endpoint.of_string t.address).port
