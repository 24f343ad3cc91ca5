(* soil.lwt.unix: a server and clients of Lwt_io, whose answers tasks of Soil compute. *)
open Lwt.Syntax

let printf = Printf.printf
let port = 7070
let address = Unix.ADDR_INET (Unix.inet_addr_loopback, port)

(* What a task does for a request of Lwt's server. *)
let answer line =
  Soil.Task.scope @@ fun scope ->
  let half first =
    Soil.Task.spawn scope (fun () ->
        Soil.Clock.sleep 0.001;
        first * first)
  in
  let n = int_of_string line in
  let a = half n and b = half (n + 1) in
  Printf.sprintf "%d + %d = %d" (n * n) ((n + 1) * (n + 1)) (Soil.Task.await a + Soil.Task.await b)

let serve _ (input, output) =
  let rec next () =
    let* line = Lwt_io.read_line_opt input in
    match line with
    | None -> Lwt.return_unit
    | Some line ->
        let* text = Soil_lwt.task (fun () -> answer line) in
        let* () = Lwt_io.write_line output text in
        next ()
  in
  next ()

let client n =
  Lwt_io.with_connection address @@ fun (input, output) ->
  let ask i =
    let* () = Lwt_io.write_line output (string_of_int i) in
    Lwt_io.read_line input
  in
  Lwt_list.map_s ask (List.init 20 (fun i -> (100 * n) + i))

(* A file of another library's descriptors, beside tasks. *)
let pipe () =
  let r, w = Unix.pipe () in
  let read () =
    Soil_unix.await_readable r;
    let b = Bytes.create 10 in
    Bytes.sub_string b 0 (Unix.read r b 0 10)
  in
  let write () =
    Soil.Clock.sleep 0.002;
    ignore (Unix.write_substring w "by a pipe" 0 9)
  in
  let text, () = Soil.Task.both read write in
  printf "%s\n" text

let () =
  Soil_lwt.run @@ fun () ->
  let server =
    Soil_lwt.run_promise (fun () -> Lwt_io.establish_server_with_client_address address serve)
  in
  let beats = ref 0 and done_ = ref false in
  let beat () =
    while not !done_ do
      incr beats;
      Soil.Clock.sleep 0.001
    done
  in
  let clients () =
    let one n () = Soil_lwt.run_promise (fun () -> client n) in
    let answers = Soil.Task.all (List.init 8 one) in
    done_ := true;
    answers
  in
  let answers, () = Soil.Task.both clients beat in
  printf "%d answers, the last is %s\n"
    (List.length (List.concat answers))
    (List.nth (List.nth answers 7) 19);
  printf "tasks ran meanwhile: %b\n" (!beats > 10);
  pipe ();
  (* Time limits and cancellation go from tasks to Lwt. *)
  (match Soil.Task.timeout_opt 0.01 (fun () -> Soil_lwt.await (Lwt_unix.sleep 60.)) with
  | Some () -> printf "slept\n"
  | None -> printf "a task's time limit ended Lwt_unix.sleep\n");
  let blocked () =
    let* r, _ = Lwt_unix.pipe () |> Lwt.return in
    Lwt.catch
      (fun () -> Lwt.map string_of_int (Lwt_unix.read r (Bytes.create 1) 0 1))
      (function Lwt.Canceled -> Lwt.return "cancelled" | e -> Lwt.fail e)
  in
  let said = ref "nothing" in
  let wait () = Soil_lwt.run_promise (fun () -> Lwt.map (fun s -> said := s) (blocked ())) in
  ignore (Soil.Task.timeout_opt 0.01 wait);
  Soil.Clock.sleep 0.001;
  printf "a read of Lwt's: %s\n" !said;
  let twice s = Lwt_preemptive.detach (fun s -> s ^ s) s in
  printf "in a thread: %s\n" (Soil_lwt.run_promise (fun () -> twice "ab"));
  Soil_lwt.run_promise (fun () -> Lwt_io.shutdown_server server);
  printf "timers left: %d\n" (Lwt_engine.timer_count ())
