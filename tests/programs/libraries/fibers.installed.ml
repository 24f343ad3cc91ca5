(* Eio's fibers in several domains: its domain manager, its executor pool, and what passes values
   between domains. *)

open Eio.Std

let count = int_of_string Sys.argv.(1)
let numbers = List.init count Fun.id
let rounds = 250
let say name right = Printf.printf "%s: %s\n%!" name (if right then "as expected" else "WRONG")

(* The results of a function, each in a domain that a fiber of this one waits for. *)
let in_domains manager work =
  Fiber.List.map (fun n -> Eio.Domain_manager.run manager (fun () -> work n)) numbers

let domains manager =
  let work n =
    let turns = ref [] in
    let fiber which () =
      for _ = 1 to rounds do
        turns := which :: !turns;
        Fiber.yield ()
      done
    in
    Fiber.all (List.init 4 fiber);
    let in_turn = List.rev !turns = List.init (4 * rounds) (fun turn -> turn mod 4) in
    (n, (Domain.self () :> int), in_turn)
  in
  let found = in_domains manager work in
  let selves = (Domain.self () :> int) :: List.map (fun (_, self, _) -> self) found in
  say "domains" (List.map (fun (n, _, _) -> n) found = numbers);
  say "each of its own" (List.length (List.sort_uniq compare selves) = count + 1);
  say "fibers of each" (List.for_all (fun (_, _, in_turn) -> in_turn) found)

let exceptions manager =
  let fail n =
    match Eio.Domain_manager.run manager (fun () -> failwith (string_of_int n)) with
    | () -> ""
    | exception Failure text -> text
  in
  say "exceptions" (Fiber.List.map fail numbers = List.map string_of_int numbers)

(* The first of two ends when each domain of the other waits; then all of these end. *)
let cancellation manager =
  let waiting, ended = (Atomic.make 0, Atomic.make 0) in
  let all_wait, tell = Promise.create () in
  let wait () =
    if Atomic.fetch_and_add waiting 1 = count - 1 then Promise.resolve tell ();
    Fun.protect Fiber.await_cancel ~finally:(fun () -> Atomic.incr ended)
  in
  Fiber.first
    (fun () -> Promise.await all_wait)
    (fun () -> ignore (in_domains manager (fun _ -> wait ())));
  say "cancellation" (Atomic.get ended = count)

let pool manager =
  Switch.run @@ fun sw ->
  let pool = Eio.Executor_pool.create ~sw ~domain_count:count manager in
  let rec fibonacci n = if n < 2 then n else fibonacci (n - 1) + fibonacci (n - 2) in
  let submit n = Eio.Executor_pool.submit_exn pool ~weight:0.25 (fun () -> fibonacci (n mod 15)) in
  let jobs = List.init (8 * count) Fun.id in
  say "executor pool" (Fiber.List.map submit jobs = List.map (fun n -> fibonacci (n mod 15)) jobs);
  say "a job that fails"
    (match Eio.Executor_pool.submit pool ~weight:1. (fun () -> failwith "job") with
    | Error (Failure text) -> text = "job"
    | _ -> false)

let streams manager =
  let transfer capacity =
    let stream = Eio.Stream.create capacity in
    let found = ref [] in
    Fiber.both
      (fun () ->
        ignore
          (in_domains manager (fun which ->
               for n = 1 to rounds do
                 Eio.Stream.add stream (which, n)
               done)))
      (fun () ->
        for _ = 1 to count * rounds do
          found := Eio.Stream.take stream :: !found
        done);
    List.for_all
      (fun which ->
        List.filter_map (fun (w, n) -> if w = which then Some n else None) (List.rev !found)
        = List.init rounds succ)
      numbers
  in
  say "streams" (List.for_all transfer [ 0; 1; 8 ])

let locks manager =
  let mutex, total = (Eio.Mutex.create (), ref 0) in
  let add _ =
    let fiber () =
      for _ = 1 to rounds do
        Eio.Mutex.use_rw ~protect:true mutex (fun () ->
            let before = !total in
            if before mod 8 = 0 then Fiber.yield ();
            total := before + 1)
      done
    in
    Fiber.both fiber fiber
  in
  ignore (in_domains manager add);
  say "mutexes" (!total = 2 * count * rounds);
  let semaphore, inside, crowded = (Eio.Semaphore.make 2, Atomic.make 0, Atomic.make false) in
  let enter _ =
    for _ = 1 to rounds do
      Eio.Semaphore.acquire semaphore;
      if Atomic.fetch_and_add inside 1 >= 2 then Atomic.set crowded true;
      Fiber.yield ();
      Atomic.decr inside;
      Eio.Semaphore.release semaphore
    done
  in
  ignore (in_domains manager enter);
  say "semaphores" ((not (Atomic.get crowded)) && Eio.Semaphore.get_value semaphore = 2)

(* A ring of promises through all domains: each waits for the one before. *)
let promises manager =
  let ring = Array.init ((count * rounds) + 1) (fun _ -> Promise.create ()) in
  let work which =
    for round = 0 to rounds - 1 do
      let at = (round * count) + which in
      let value = Promise.await (fst ring.(at)) in
      Promise.resolve (snd ring.(at + 1)) (value + 1)
    done
  in
  Promise.resolve (snd ring.(0)) 0;
  ignore (in_domains manager work);
  say "promises" (Promise.await (fst ring.(count * rounds)) = count * rounds)

let waits env manager =
  let work _ =
    let five wait () = List.length (List.init 5 (fun _ -> wait ())) in
    let sleep () = Eio.Time.Mono.sleep env#mono_clock 0.002 in
    let in_a_thread () = Eio_unix.run_in_systhread (fun () -> Unix.sleepf 0.002) in
    Fiber.pair (five sleep) (five in_a_thread)
  in
  say "timers and threads" (List.for_all (( = ) (5, 5)) (in_domains manager work))

(* A server whose connections several domains accept, and clients in as many. *)
let network env manager =
  Switch.run @@ fun sw ->
  let address = `Tcp (Eio.Net.Ipaddr.V4.loopback, 7000) in
  let listener = Eio.Net.listen env#net ~sw ~backlog:64 ~reuse_addr:true address in
  let serve connection _ = Eio.Flow.copy connection connection in
  let talk which number =
    Switch.run @@ fun sw ->
    let flow = Eio.Net.connect ~sw env#net address in
    let text = String.init 20_000 (fun at -> Char.chr (32 + ((at + which + number) mod 64))) in
    let send () =
      Eio.Flow.copy_string text flow;
      Eio.Flow.shutdown flow `Send
    in
    let (), answer = Fiber.pair send (fun () -> Eio.Flow.read_all flow) in
    answer = text
  in
  let client which = Fiber.List.map (talk which) (List.init 4 Fun.id) in
  let stop, resolve = Promise.create () in
  let on_error problem = traceln "%a" Fmt.exn problem in
  let server () =
    Eio.Net.run_server listener serve ~stop ~on_error ~additional_domains:(manager, count - 1)
  in
  let clients () =
    let answers = List.concat (in_domains manager client) in
    Promise.resolve resolve ();
    answers
  in
  let (), answers = Fiber.pair server clients in
  say "connections" (answers = List.init (4 * count) (fun _ -> true))

let () =
  Eio_main.run @@ fun env ->
  let manager = Eio.Stdenv.domain_mgr env in
  domains manager;
  exceptions manager;
  cancellation manager;
  pool manager;
  streams manager;
  locks manager;
  promises manager;
  waits env manager;
  network env manager
