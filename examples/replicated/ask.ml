(* One request to the store: SERVERS get KEY, and so on. *)

open Replicated

let usage =
  "usage: ask SERVERS COMMAND, such as: ask 10.0.0.1:7001,10.0.0.2:7001 get KEY\n\
   commands: get KEY | put KEY VALUE | delete KEY | append KEY VALUE | set KEY EXPECTED VALUE |\n\
  \          members | add NUMBER ADDRESS | remove NUMBER"

let print_member (m : Message.member) =
  Printf.printf "%d %s %s\n" m.id m.address (if m.voter then "voter" else "learner")

let run client = function
  | [ "get"; key ] -> (
      match Client.get client key with
      | Some value -> print_endline value
      | None ->
          prerr_endline (key ^ " has no value");
          exit 1)
  | [ "put"; key; value ] -> Client.put client key value
  | [ "delete"; key ] -> print_endline (string_of_bool (Client.delete client key))
  | [ "append"; key; value ] -> Client.append client key value
  | [ "set"; key; expected; value ] ->
      let swapped = Client.compare_and_set client key ~expected:(Some expected) (Some value) in
      print_endline (string_of_bool swapped)
  | [ "members" ] -> List.iter print_member (Client.members client)
  | [ "add"; id; address ] -> Client.add_server client ~id:(int_of_string id) ~address
  | [ "remove"; id ] -> Client.remove_server client (int_of_string id)
  | _ ->
      prerr_endline usage;
      exit 2

let fail reason =
  prerr_endline ("ask: " ^ reason);
  exit 1

let () =
  match List.tl (Array.to_list Sys.argv) with
  | servers :: command -> (
      Soil.run @@ fun () ->
      let client = Client.create (String.split_on_char ',' servers) in
      try run client command with
      | Client.Unknown reason -> fail ("the command may have had its effect: " ^ reason)
      | Client.Unavailable reason -> fail reason
      | Client.Refused reason -> fail reason)
  | [] ->
      prerr_endline usage;
      exit 2
