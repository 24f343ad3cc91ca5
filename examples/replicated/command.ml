(** Commands of the state machine: the contents of entries, and their results. *)

type operation =
  | Get of string
  | Put of string * string
  | Delete of string
  | Compare_and_set of { key : string; expected : string option; value : string option }
      (** [None] is an unbound key. *)
  | Append of string * string  (** To the value; an unbound key has the empty one. *)

(** The type for commands. *)
type t =
  | Open_session  (** The index of its entry is the session's number. *)
  | Once of { session : int; sequence : int; operation : operation }
      (** A session numbers its commands. One with the number of the latest is a retry: it gets the
          first one's result, and has no effect. *)
  | Plain of operation  (** A retry of it may have the effect twice. *)

(** The type for results. *)
type result =
  | Done
  | Value of string option  (** Of [Get]. *)
  | Existed of bool  (** Of [Delete]. *)
  | Swapped of bool  (** Of [Compare_and_set]. *)
  | Session of int
  | No_session  (** The session isn't open: too many others were used since. *)
  | Old_sequence  (** The session has gone on to a later command. *)
  | Too_large  (** A key or a value would be too long. *)

let max_key = 4096
let max_value = 1 lsl 20

(* Encoding *)

open Wire

let operation b = function
  | Get key ->
      byte b 0;
      string b key
  | Put (key, value) ->
      byte b 1;
      string b key;
      string b value
  | Delete key ->
      byte b 2;
      string b key
  | Compare_and_set { key; expected; value } ->
      byte b 3;
      string b key;
      option string b expected;
      option string b value
  | Append (key, value) ->
      byte b 4;
      string b key;
      string b value

let to_operation i =
  match to_byte i with
  | 0 -> Get (to_string i)
  | 1 ->
      let key = to_string i in
      Put (key, to_string i)
  | 2 -> Delete (to_string i)
  | 3 ->
      let key = to_string i in
      let expected = to_option to_string i in
      Compare_and_set { key; expected; value = to_option to_string i }
  | 4 ->
      let key = to_string i in
      Append (key, to_string i)
  | tag -> unknown "operation" tag

let encoder b = function
  | Open_session -> byte b 0
  | Once c ->
      byte b 1;
      int b c.session;
      int b c.sequence;
      operation b c.operation
  | Plain o ->
      byte b 2;
      operation b o

let decoder i =
  match to_byte i with
  | 0 -> Open_session
  | 1 ->
      let session = to_int i in
      let sequence = to_int i in
      Once { session; sequence; operation = to_operation i }
  | 2 -> Plain (to_operation i)
  | tag -> unknown "command" tag

let result b = function
  | Done -> byte b 0
  | Value v ->
      byte b 1;
      option string b v
  | Existed v ->
      byte b 2;
      bool b v
  | Swapped v ->
      byte b 3;
      bool b v
  | Session n ->
      byte b 4;
      int b n
  | No_session -> byte b 5
  | Old_sequence -> byte b 6
  | Too_large -> byte b 7

let to_result i =
  match to_byte i with
  | 0 -> Done
  | 1 -> Value (to_option to_string i)
  | 2 -> Existed (to_bool i)
  | 3 -> Swapped (to_bool i)
  | 4 -> Session (to_int i)
  | 5 -> No_session
  | 6 -> Old_sequence
  | 7 -> Too_large
  | tag -> unknown "result" tag
