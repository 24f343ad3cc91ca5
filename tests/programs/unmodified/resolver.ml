(* The C library's functions for names. The arguments are commands with one argument each, run one
   after the other: `unix NAME` (Unix.getaddrinfo), `both NAME` (getaddrinfo, its canonical name),
   `mapped NAME` (AI_V4MAPPED), `host NAME` (gethostbyname), `name ADDRESS` (getnameinfo),
   `mail NAME` (res_query for MX), `identifier NAME` (res_send); `hosts LINE` and `conf LINE`
   replace /etc/hosts and /etc/resolv.conf. *)

external lookup : string -> string -> string = "lookup"

let addresses name =
  let address info =
    match info.Unix.ai_addr with
    | ADDR_INET (address, _) -> Unix.string_of_inet_addr address
    | ADDR_UNIX path -> path
  in
  let found = Unix.getaddrinfo name "80" [ AI_SOCKTYPE SOCK_STREAM ] in
  match List.map address found with
  | [] -> "none"
  | all when List.length all > 8 -> string_of_int (List.length all) ^ " addresses"
  | all -> String.concat " " all

let write path line =
  Out_channel.with_open_text path (fun file -> output_string file (line ^ "\n"));
  "written"

let rec run = function
  | command :: argument :: rest ->
      let answer =
        match command with
        | "unix" -> addresses argument
        | "hosts" -> write "/etc/hosts" argument
        | "conf" -> write "/etc/resolv.conf" argument
        | _ -> lookup command argument
      in
      Printf.printf "%s %s: %s\n%!" command argument answer;
      run rest
  | _ -> ()

let () = run (List.tl (Array.to_list Sys.argv))
