(* A server of Unix and threads: PORT. It keeps requests of any size until they are whole, answers a
   GET with "here", and an upload with its length. A connection whose thread has no memory is closed;
   nothing else cares for memory. *)

open Unix

let content_length head =
  let length line =
    match String.index_opt line ':' with
    | Some at when String.lowercase_ascii (String.sub line 0 at) = "content-length" ->
        int_of_string_opt (String.trim (String.sub line (at + 1) (String.length line - at - 1)))
    | _ -> None
  in
  Option.value ~default:0 (List.find_map length (String.split_on_char '\n' head))

let end_of_head text =
  let rec find at =
    match String.index_from_opt text at '\r' with
    | None -> None
    | Some at when at + 4 <= String.length text && String.sub text at 4 = "\r\n\r\n" -> Some (at + 4)
    | Some at -> find (at + 1)
  in
  find 0

let serve fd =
  let bytes = Bytes.create 4096 and request = Buffer.create 4096 in
  let more () =
    match read fd bytes 0 (Bytes.length bytes) with
    | 0 -> raise End_of_file
    | n -> Buffer.add_subbytes request bytes 0 n
  in
  let rec head () =
    match end_of_head (Buffer.contents request) with
    | Some at -> at
    | None ->
        more ();
        head ()
  in
  let at = head () in
  let length = content_length (Buffer.sub request 0 at) in
  while Buffer.length request < at + length do
    more ()
  done;
  let body = Buffer.sub request at length in
  let text = if body = "" then "here" else string_of_int (String.length body) in
  let answer =
    Printf.sprintf "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s\n" (String.length text + 1) text
  in
  ignore (write_substring fd answer 0 (String.length answer))

let handle fd =
  (try serve fd with End_of_file | Unix_error _ | Out_of_memory -> ());
  try close fd with Unix_error _ -> ()

let () =
  Sys.set_signal Sys.sigpipe Signal_ignore;
  let listener = socket PF_INET SOCK_STREAM 0 in
  setsockopt listener SO_REUSEADDR true;
  bind listener (ADDR_INET (inet_addr_any, int_of_string Sys.argv.(1)));
  listen listener 100;
  print_endline "ready";
  while true do
    let fd, _ = accept listener in
    match Thread.create handle fd with
    | _ -> ()
    | exception (Failure _ | Sys_error _ | Out_of_memory) -> close fd
  done
