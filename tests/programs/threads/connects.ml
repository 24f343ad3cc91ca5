(* The first use of the network is a call of a thread, which waits there for the machine's address
   while other threads run. *)
let () =
  let ended = Atomic.make false in
  let counter =
    Thread.create
      (fun () ->
        while not (Atomic.get ended) do
          Thread.yield ()
        done)
      ()
  in
  let connect () =
    let socket = Unix.socket Unix.PF_INET Unix.SOCK_STREAM 0 in
    Unix.set_nonblock socket;
    (match Unix.connect socket (Unix.ADDR_INET (Unix.inet_addr_of_string "192.0.2.1", 9)) with
    | () -> print_endline "connected"
    | exception Unix.Unix_error (Unix.EINPROGRESS, _, _) -> print_endline "in progress"
    | exception Unix.Unix_error (error, _, _) -> print_endline (Unix.error_message error));
    Unix.close socket
  in
  List.iter Thread.join (List.init 3 (fun _ -> Thread.create connect ()));
  Atomic.set ended true;
  Thread.join counter;
  print_endline "the end"
