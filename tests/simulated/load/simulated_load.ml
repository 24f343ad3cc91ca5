open Lwt.Syntax

let wrong text = Printf.printf "wrong: %s\n%!" text
let address ~port = Unix.ADDR_INET (Unix.inet_addr_of_string Sys.argv.(1), port)
let within = Lwt_unix.with_timeout

(* Linux gives the lowest free number. *)
let lowest_descriptor () =
  let fd = Unix.socket PF_INET SOCK_STREAM 0 in
  let number : int = Obj.magic fd in
  Unix.close fd;
  number

let report request i =
  Printf.printf "start %d\n%!" i;
  let* outcome = Lwt_result.catch (fun () -> request i) in
  let text = match outcome with Ok () -> "ok" | Error e -> Printexc.to_string e in
  Printf.printf "end %d: %s\n%!" i (String.map (function '\n' -> ' ' | c -> c) text);
  Lwt.return_unit

let run ?(bursts = 6) ?(size = 8) ?(pause = 30.) request finish =
  Sys.set_signal Sys.sigpipe Signal_ignore;
  Lwt_unix.set_default_async_method Async_none;
  Lwt_main.run
    (let burst b =
       let* () = if b = 0 then Lwt.return_unit else Lwt_unix.sleep pause in
       Lwt.return (List.init size (fun i -> report request ((b * size) + i)))
     in
     let* started = Lwt_list.map_s burst (List.init bursts Fun.id) in
     let* () = Lwt.join (List.concat started) in
     let* () = finish () in
     let* () = Lwt_unix.sleep 5. in
     Printf.printf "descriptor %d\ndone\n%!" (lowest_descriptor ());
     Lwt.return_unit)
