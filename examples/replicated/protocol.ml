(** Requests of clients and the responses: each is a frame, and a connection has one request at a
    time. *)

type request =
  | Read of string  (** Linearizable; not an entry of the log. *)
  | Execute of Command.t
  | Change of Membership.change
  | Members  (** The latest members; linearizable, too. *)

type response =
  | Result of Command.result
  | Redirect of string option
      (** The request had no effect: this server, by its address for clients, may be the leader. *)
  | Unknown  (** The request may have had an effect, or have it later. *)
  | Refused of string  (** The request had no effect, for this reason. *)
  | Members_are of Message.configuration

(** [client_address address] is the address for clients of the server with this address for servers:
    the next port. *)
let client_address address =
  let e = Soil.Net.Endpoint.of_string address in
  Soil.Net.Endpoint.to_string { e with port = e.port + 1 }

(* Encoding *)

open Wire

let request b = function
  | Read key ->
      byte b 0;
      string b key
  | Execute c ->
      byte b 1;
      Command.encoder b c
  | Change (Add { id; address }) ->
      byte b 2;
      int b id;
      string b address
  | Change (Remove id) ->
      byte b 3;
      int b id
  | Members -> byte b 4

let to_request i =
  match to_byte i with
  | 0 -> Read (to_string i)
  | 1 -> Execute (Command.decoder i)
  | 2 ->
      let id = to_int i in
      Change (Add { id; address = to_string i })
  | 3 -> Change (Remove (to_int i))
  | 4 -> Members
  | tag -> unknown "request" tag

let response b = function
  | Result r ->
      byte b 0;
      Command.result b r
  | Redirect address ->
      byte b 1;
      option string b address
  | Unknown -> byte b 2
  | Refused reason ->
      byte b 3;
      string b reason
  | Members_are c ->
      byte b 4;
      Message.configuration b c

let to_response i =
  match to_byte i with
  | 0 -> Result (Command.to_result i)
  | 1 -> Redirect (to_option to_string i)
  | 2 -> Unknown
  | 3 -> Refused (to_string i)
  | 4 -> Members_are (Message.to_configuration i)
  | tag -> unknown "response" tag
