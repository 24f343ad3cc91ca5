(* A member of a multicast group: `groups GROUP PORT INTERFACE`. Prints each datagram, and answers its
   sender; leaves the group after the first and ends with "end". *)

external member : Unix.file_descr -> string -> int -> bool -> int = "test_member"

open Unix

let () =
  let group = Sys.argv.(1) and port = int_of_string Sys.argv.(2) in
  let interface = int_of_string Sys.argv.(3) in
  let family, any =
    if String.contains group ':' then (PF_INET6, inet6_addr_any) else (PF_INET, inet_addr_any)
  in
  let socket = socket family SOCK_DGRAM 0 and bytes = Bytes.create 100 in
  let say = Printf.printf "%s: %d\n%!" in
  setsockopt socket SO_REUSEADDR true;
  bind socket (ADDR_INET (any, port));
  say "a group of one" (member socket "127.0.0.1" interface true);
  say "on no interface" (member socket group 77 true);
  say "leave first" (member socket group interface false);
  say "join" (member socket group interface true);
  print_endline "ready";
  let rec loop () =
    let n, from = recvfrom socket bytes 0 100 [] in
    let text = Bytes.sub_string bytes 0 n in
    print_endline text;
    if text = "first" then say "leave" (member socket group interface false);
    ignore (sendto socket bytes 0 n [] from);
    if text <> "end" then loop ()
  in
  loop ()
