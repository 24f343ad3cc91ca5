module Fd = Soil.File_descriptor

type connection = { flow : Soil.Tcp.connection; reader : Soil.Reader.t; writer : Soil.Writer.t }

type t = {
  servers : string array;
  timeout : float;
  session : bool;
  mutable next : int;  (** The index of the next server to try. *)
  mutable leader : string option;  (** The address to try before, as told by a server. *)
  mutable connection : connection option;
  mutable number : int option;  (** Of the open session. *)
  mutable sequence : int;  (** Of the latest command in it. *)
  lock : Soil.Task.Mutex.t;
}

exception Unknown of string
exception Unavailable of string
exception Refused of string

let check_address a =
  if Soil.Net.Endpoint.of_string_opt a = None then
    invalid_arg ("Client.create: not an address with a port: " ^ a)

let create ?(timeout = 5.) ?(session = true) servers =
  if servers = [] then invalid_arg "Client.create: no servers";
  List.iter check_address servers;
  {
    servers = Array.of_list servers;
    timeout;
    session;
    next = 0;
    leader = None;
    connection = None;
    number = None;
    sequence = 0;
    lock = Soil.Task.Mutex.create ();
  }

let close t =
  Option.iter (fun c -> Fd.close c.flow) t.connection;
  t.connection <- None

(* Connections *)

(* The leader that was named, once; else the servers in turn. *)
let next_server t =
  match t.leader with
  | Some address ->
      t.leader <- None;
      address
  | None ->
      let address = t.servers.(t.next) in
      t.next <- (t.next + 1) mod Array.length t.servers;
      address

let connected t ~timeout =
  match t.connection with
  | Some c -> c
  | None ->
      let address = next_server t in
      let flow = Soil.Tcp.connect ~timeout (Soil.Net.Endpoint.of_string address) in
      let c = { flow; reader = Soil.Reader.create flow; writer = Soil.Writer.create flow } in
      t.connection <- Some c;
      c

(* The connection has the response of no other request: it is closed unless all goes well. *)
let exchange t c ~timeout request : Protocol.response =
  try
    Soil.Task.timeout timeout @@ fun () ->
    Wire.write_frame c.writer (Wire.encode Protocol.request request);
    Soil.Writer.flush c.writer;
    Wire.decode Protocol.to_response (Wire.read_frame ~max:Wire.max_frame c.reader)
  with e ->
    close t;
    raise e

(* Requests *)

let connect_timeout = 0.5
let response_timeout = 2.
let pause = 0.03
let now = Soil.Clock.monotonic

(* The outcome of one attempt: a [Missing] one may have had its effect. *)
type attempt = Answered of Protocol.response | Failed of string | Missing of string

let reason = function
  | Soil.Error e -> Some (Soil.Error.to_string e)
  | End_of_file -> Some "the server closed the connection"
  | Soil.Task.Timeout _ -> Some "no response in time"
  | Wire.Malformed what -> Some ("malformed response: " ^ what)
  | _ -> None

let guard f wrap =
  try f () with e -> ( match reason e with Some reason -> wrap reason | None -> raise e)

let attempt t ~left request =
  guard
    (fun () ->
      let c = connected t ~timeout:(Float.min connect_timeout left) in
      guard
        (fun () -> Answered (exchange t c ~timeout:(Float.min response_timeout left) request))
        (fun reason -> Missing reason))
    (fun reason -> Failed reason)

(* Tries until the deadline. [again] is [true] if the request may be sent twice; [missing] is the
   reason of the first attempt without a response. *)
let rec try_until t ~deadline ~again ?missing ?(last = "no server was tried") request =
  let left = deadline -. now () in
  let retry ?missing last =
    Soil.Clock.sleep pause;
    try_until t ~deadline ~again ?missing ~last request
  in
  if left <= 0. then
    match missing with
    | Some reason -> raise (Unknown reason)
    | None -> raise (Unavailable (Printf.sprintf "no answer in %g s: %s" t.timeout last))
  else
    match attempt t ~left request with
    | Answered (Redirect leader) ->
        close t;
        t.leader <- leader;
        retry ?missing "the servers have no leader"
    | Failed reason -> retry ?missing reason
    | Answered Unknown -> lost t "the leader changed" ~again ?missing retry
    | Missing reason -> lost t reason ~again ?missing retry
    | Answered (Refused reason) ->
        raise (match missing with Some reason -> Unknown reason | None -> Refused reason)
    | Answered ((Result _ | Members_are _) as response) -> (response, missing)

and lost :
    'a. t -> string -> again:bool -> ?missing:string -> (?missing:string -> string -> 'a) -> 'a =
 fun t reason ~again ?missing retry ->
  close t;
  if again then retry ~missing:(Option.value missing ~default:reason) reason
  else raise (Unknown reason)

let locked t f = Soil.Task.Mutex.protect t.lock @@ fun () -> f (now () +. t.timeout)
let unexpected () = failwith "Client: a response to another kind of request"

(* Reads, and opening a session, can be repeated: a missing response is no doubt about an effect. *)
let repeat t ~deadline request =
  try fst (try_until t ~deadline ~again:true request)
  with Unknown reason -> raise (Unavailable reason)

(* Commands *)

let open_session t ~deadline =
  match t.number with
  | Some number -> number
  | None -> (
      match repeat t ~deadline (Execute Open_session) with
      | Result (Session number) ->
          t.number <- Some number;
          t.sequence <- 0;
          number
      | _ -> unexpected ())

let rec execute_once t ~deadline operation =
  let session = open_session t ~deadline in
  t.sequence <- t.sequence + 1;
  let command = Command.Once { session; sequence = t.sequence; operation } in
  match try_until t ~deadline ~again:true (Execute command) with
  | Result No_session, missing -> (
      t.number <- None;
      match missing with
      | Some reason -> raise (Unknown (reason ^ ", and the session ended"))
      | None -> execute_once t ~deadline operation)
  | response, _ -> response

let execute t operation : Command.result =
  let response =
    locked t @@ fun deadline ->
    if t.session then execute_once t ~deadline operation
    else fst (try_until t ~deadline ~again:false (Execute (Plain operation)))
  in
  match response with
  | Result Too_large -> raise (Refused "the value would be too long")
  | Result result -> result
  | _ -> unexpected ()

let check_key key =
  if String.length key > Command.max_key then
    invalid_arg (Printf.sprintf "Client: key of more than %d bytes" Command.max_key)

let check_value value =
  if String.length value > Command.max_value then
    invalid_arg (Printf.sprintf "Client: value of more than %d bytes" Command.max_value)

let get t key =
  check_key key;
  match locked t @@ fun deadline -> repeat t ~deadline (Read key) with
  | Result (Value value) -> value
  | _ -> unexpected ()

let put t key value =
  check_key key;
  check_value value;
  match execute t (Put (key, value)) with Done -> () | _ -> unexpected ()

let delete t key =
  check_key key;
  match execute t (Delete key) with Existed existed -> existed | _ -> unexpected ()

let compare_and_set t key ~expected value =
  check_key key;
  Option.iter check_value value;
  match execute t (Compare_and_set { key; expected; value }) with
  | Swapped swapped -> swapped
  | _ -> unexpected ()

let append t key s =
  check_key key;
  check_value s;
  match execute t (Append (key, s)) with Done -> () | _ -> unexpected ()

(* Members *)

let members t =
  match locked t @@ fun deadline -> repeat t ~deadline Members with
  | Members_are members -> members
  | _ -> unexpected ()

let change t change =
  match locked t @@ fun deadline -> try_until t ~deadline ~again:true (Change change) with
  | Result Done, _ -> ()
  | _ -> unexpected ()

let add_server t ~id ~address = change t (Add { id; address })
let remove_server t id = change t (Remove id)
