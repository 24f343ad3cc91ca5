let limit = 2.

let visit ~clock book connection _address =
  let input = Eio.Buf_read.of_flow connection ~max_size:65_536 in
  let say text = Eio.Flow.copy_string text connection in
  let rec next () =
    match Eio.Time.with_timeout_exn clock limit (fun () -> Eio.Buf_read.line input) with
    | "?" ->
        say (Eio.Path.load book);
        next ()
    | line ->
        Eio.Path.save ~append:true ~create:(`If_missing 0o644) book (line ^ "\n");
        say ("thank you, " ^ line ^ "\n");
        next ()
    | exception End_of_file -> ()
  in
  try next () with Eio.Time.Timeout -> say "too late\n"

let () =
  Eio_main.run @@ fun env ->
  Eio.Switch.run @@ fun sw ->
  let address = `Tcp (Eio.Net.Ipaddr.V4.any, 7000) in
  let listener = Eio.Net.listen env#net ~sw ~backlog:128 ~reuse_addr:true address in
  print_endline "the guestbook is open";
  let book = Eio.Path.(env#fs / Sys.argv.(1)) in
  Eio.Net.run_server listener (visit ~clock:env#clock book) ~on_error:(fun e ->
      prerr_endline (Printexc.to_string e))
