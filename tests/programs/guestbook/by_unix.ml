let limit = 2.

let append book line =
  let file = open_out_gen [ Open_append; Open_creat ] 0o644 book in
  Fun.protect ~finally:(fun () -> close_out file) @@ fun () -> output_string file (line ^ "\n")

let visit book connection =
  Unix.setsockopt_float connection SO_RCVTIMEO limit;
  let input = Unix.in_channel_of_descr connection in
  let say text = ignore (Unix.write_substring connection text 0 (String.length text)) in
  let rec next () =
    match input_line input with
    | "?" ->
        say (In_channel.with_open_bin book In_channel.input_all);
        next ()
    | line ->
        append book line;
        say ("thank you, " ^ line ^ "\n");
        next ()
    | exception End_of_file -> ()
    | exception Sys_blocked_io -> say "too late\n"
  in
  Fun.protect ~finally:(fun () -> close_in input) next

let () =
  let listener = Unix.socket PF_INET SOCK_STREAM 0 in
  Unix.setsockopt listener SO_REUSEADDR true;
  Unix.bind listener (ADDR_INET (Unix.inet_addr_any, 7000));
  Unix.listen listener 128;
  print_endline "the guestbook is open";
  while true do
    let connection, _ = Unix.accept listener in
    ignore (Thread.create (visit Sys.argv.(1)) connection)
  done
