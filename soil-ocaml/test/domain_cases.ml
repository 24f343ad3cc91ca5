(* Tasks of several domains, as many as SOIL_TEST_DOMAINS says (default: 4). Without a library for
   tests: an image runs them, too (tests/programs/processors/schedulers.ml), and such libraries are
   one domain's. *)
module T = Soil.Task
module D = Soil.Domain
module F = Soil.File_descriptor

let fail what = failwith what
let same what wanted got = if wanted <> got then fail (what ^ ": not what was wanted")

let int what wanted got =
  if wanted <> got then fail (Printf.sprintf "%s: %d, not %d" what got wanted)

let string what wanted got = if wanted <> got then fail (what ^ ": " ^ got ^ ", not " ^ wanted)

let fails_in_time what f =
  match f () with _ -> fail (what ^ ": no timeout") | exception T.Timeout _ -> ()

let is_invalid what f =
  match f () with _ -> fail (what ^ ": not refused") | exception Invalid_argument _ -> ()

let domains = match Sys.getenv_opt "SOIL_TEST_DOMAINS" with Some n -> int_of_string n | None -> 4

(* Whatever hangs is a failure. *)
let patience = 120.

let in_domains name f =
  (name, fun () -> D.run ~domains (fun () -> T.timeout patience (fun () -> f ())))

let others () = List.init (D.count () - 1) succ

let numbers () =
  int "as many as asked for" domains (D.count ());
  let seen = Array.make (D.count ()) (-1) and indices = Array.make (D.count ()) (-1) in
  D.each (fun i ->
      seen.(i) <- D.self ();
      indices.(i) <- (Domain.self () :> int));
  Array.iteri (fun i number -> int "its number" i number) seen;
  let distinct = List.sort_uniq Int.compare (Array.to_list indices) in
  int "domains of OCaml" (D.count ()) (List.length distinct);
  int "inside" (D.count ()) (D.run ~domains:1 D.count);
  is_invalid "no such domain" (fun () ->
      T.scope (fun s -> ignore (D.spawn ~domain:(D.count ()) s ignore)))

let one () =
  int "one" 1 (D.run ~domains:1 D.count);
  int "outside" 1 (D.count ());
  List.iter
    (fun domains -> is_invalid "domains" (fun () -> D.run ~domains ignore))
    [ 0; -1; 129; max_int ];
  let deadlock () = Soil.run (fun () -> T.Promise.await (T.Promise.create ())) in
  D.run ~domains:2 ignore;
  (match deadlock () with
  | () -> fail "no deadlock"
  | exception Soil.Error { code = Deadlock; _ } -> ());
  int "again and again" 60
    (List.fold_left ( + ) 0
       (List.init 30 (fun _ -> D.run ~domains:2 (fun () -> if D.count () = 2 then 2 else 2))))

exception Ours of int

let results () =
  T.scope @@ fun s ->
  let tasks = List.map (fun i -> D.spawn ~domain:i s (fun () -> (i, D.self ()))) (others ()) in
  List.iter
    (fun task ->
      let wanted, got = T.await task in
      int "where" wanted got)
    tasks;
  List.iter
    (fun i ->
      match T.scope (fun s -> T.await (D.spawn ~domain:i s (fun () -> raise (Ours i)))) with
      | () -> fail "no exception"
      | exception Ours n -> int "its exception" i n)
    (others ());
  (* One that raises cancels the others, and all have ended then. *)
  let ended = Atomic.make 0 and begun = T.Semaphore.create 0 in
  let work i =
    if i < D.count () - 1 then (
      T.Semaphore.release begun;
      Soil.Clock.sleep 1000.)
    else (
      List.iter (fun _ -> T.Semaphore.acquire begun) (others ());
      raise (Ours i))
  in
  (match
     D.each (fun i -> Fun.protect ~finally:(fun () -> Atomic.incr ended) (fun () -> work i))
   with
  | () -> fail "no exception"
  | exception Ours _ -> ());
  int "all have ended" (D.count ()) (Atomic.get ended)

let cancellation () =
  let state = Atomic.make "" in
  let waits begun () =
    T.Promise.fulfil begun ();
    match Soil.Clock.sleep 1000. with
    | () -> ()
    | exception T.Cancelled ->
        Atomic.set state "cancelled";
        raise T.Cancelled
  in
  List.iter
    (fun i ->
      let spawn s =
        let begun = T.Promise.create () in
        let task = D.spawn ~domain:i s (waits begun) in
        T.Promise.await begun;
        task
      in
      Atomic.set state "";
      T.scope (fun s -> T.cancel (spawn s));
      string "after its wait" "cancelled" (Atomic.get state);
      Atomic.set state "";
      (match
         T.scope (fun outer ->
             T.scope (fun s ->
                 let task = spawn s in
                 ignore (T.spawn outer (fun () -> T.cancel_scope outer));
                 T.await task))
       with
      | () -> fail "not cancelled"
      | exception T.Cancelled -> ());
      string "of a scope above" "cancelled" (Atomic.get state);
      (* What it raises then isn't lost. *)
      let failing begun () = try waits begun () with T.Cancelled -> raise (Ours i) in
      (match
         T.scope (fun s ->
             let begun = T.Promise.create () in
             let task = D.spawn ~domain:i s (failing begun) in
             T.Promise.await begun;
             T.cancel task)
       with
      | () -> fail "no exception of a cancelled task"
      | exception Ours n -> int "of a cancelled task" i n);
      (* At any time; it may never have begun. *)
      for n = 0 to 20 do
        let seconds = float_of_int n *. 0.0001 in
        fails_in_time "a timeout" (fun () ->
            T.timeout seconds (fun () ->
                T.scope (fun s -> T.await (D.spawn ~domain:i s (waits (T.Promise.create ()))))))
      done;
      T.scope (fun s -> T.cancel (D.spawn ~domain:i s (waits (T.Promise.create ())))))
    (others ());
  (* A scope and a task of another domain. *)
  List.iter
    (fun i ->
      let opened = T.Promise.create () in
      T.scope @@ fun s ->
      let task =
        D.spawn ~domain:i s (fun () ->
            match
              T.scope (fun inner ->
                  let task = T.spawn inner (fun () -> Soil.Clock.sleep 1000.) in
                  T.Promise.fulfil opened (inner, task);
                  Soil.Clock.sleep 1000.)
            with
            | () -> "ended"
            | exception T.Cancelled -> "cancelled")
      in
      let inner, sleeper = T.Promise.await opened in
      is_invalid "a task for another domain's scope" (fun () -> ignore (T.spawn inner ignore));
      T.cancel sleeper;
      (match T.await sleeper with () -> fail "not cancelled" | exception T.Cancelled -> ());
      T.cancel_scope inner;
      string "the scope" "cancelled" (T.await task))
    (others ())

(* Values of several producers reach several consumers, once each and in the order of each producer. *)
let stream capacity () =
  let n = 2000 in
  let stream = T.Stream.create capacity in
  let got = Array.make (D.count ()) [] in
  T.scope (fun all ->
      ignore
      @@ T.spawn all (fun () ->
             D.each (fun i ->
                 for v = 1 to n do
                   T.Stream.push stream (i, v);
                   if v mod 97 = 0 then T.yield ()
                 done);
             T.Stream.close stream);
      D.each (fun i -> T.Stream.iter (fun v -> got.(i) <- v :: got.(i)) stream));
  let values = List.concat (Array.to_list got) in
  int "values" (n * D.count ()) (List.length (List.sort_uniq compare values));
  int "once" (n * D.count ()) (List.length values);
  Array.iter
    (fun values ->
      List.iteri
        (fun i _ ->
          let of_producer = List.filter_map (fun (p, v) -> if p = i then Some v else None) values in
          same "in order" true (List.sort (fun a b -> Int.compare b a) of_producer = of_producer))
        (Array.to_list got))
    got

let exclusion () =
  let n = 2000 and count = ref 0 in
  let mutex = T.Mutex.create () in
  D.each (fun _ ->
      for _ = 1 to n do
        T.Mutex.protect mutex (fun () ->
            let before = !count in
            if before mod 50 = 0 then T.yield ();
            count := before + 1)
      done);
  int "each counted" (n * D.count ()) !count;
  let units = T.Semaphore.create 2 and inside = Atomic.make 0 and most = Atomic.make 0 in
  D.each (fun _ ->
      for _ = 1 to 300 do
        T.Semaphore.with_unit units (fun () ->
            let now = Atomic.fetch_and_add inside 1 + 1 in
            if now > Atomic.get most then Atomic.set most now;
            T.yield ();
            Atomic.decr inside)
      done);
  same "no more than its units" true (Atomic.get most <= 2);
  int "all units are back" 2 (T.Semaphore.available units);
  (* A queue with a condition, which loses no signal. *)
  let changed = T.Condition.create () and waiting = Queue.create () and sum = Atomic.make 0 in
  T.scope (fun s ->
      ignore
      @@ T.spawn s (fun () ->
             D.each (fun _ ->
                 for _ = 1 to 500 do
                   T.Mutex.protect mutex (fun () ->
                       while Queue.is_empty waiting do
                         T.Condition.wait changed mutex
                       done;
                       ignore (Atomic.fetch_and_add sum (Queue.take waiting)))
                 done));
      D.each (fun _ ->
          for v = 1 to 500 do
            T.Mutex.protect mutex (fun () -> Queue.add v waiting);
            T.Condition.signal changed
          done));
  int "the sum" (D.count () * 500 * 501 / 2) (Atomic.get sum)

let promises () =
  for round = 1 to 200 do
    let promises = Array.init (D.count ()) (fun _ -> T.Promise.create ()) in
    let fulfilled = Atomic.make 0 in
    (* Each waits for the next one's; one resolution of several wins. *)
    D.each (fun i ->
        if T.Promise.try_fulfil promises.((i + 1) mod D.count ()) (round + i) then
          Atomic.incr fulfilled;
        if T.Promise.try_fulfil promises.((i + 1) mod D.count ()) (-1) then Atomic.incr fulfilled;
        let from = (i + D.count () - 1) mod D.count () in
        same "its value" (round + from) (T.Promise.await promises.(i)));
    int "once each" (D.count ()) (Atomic.get fulfilled)
  done

(* Waits that are cancelled at any moment lose no unit and no value. *)
let cancelled_waits () =
  let units = T.Semaphore.create 1 and stream = T.Stream.create 1 in
  let taken = Atomic.make 0 and pushed = Atomic.make 0 in
  let briefly f = ignore (T.timeout_opt 0.0003 f) in
  D.each (fun i ->
      for n = 1 to 200 do
        briefly (fun () -> T.Semaphore.with_unit units (fun () -> if n mod 3 = 0 then T.yield ()));
        if i land 1 = 0 then
          briefly (fun () ->
              T.Stream.push stream 1;
              Atomic.incr pushed)
        else
          briefly (fun () ->
              let v = T.Stream.take stream in
              ignore (Atomic.fetch_and_add taken v))
      done);
  int "the unit is there" 1 (T.Semaphore.available units);
  let rec rest n = match T.Stream.poll stream with Some v -> rest (n + v) | None -> n in
  int "all values" (Atomic.get pushed) (Atomic.get taken + rest 0)

let broadcasts () =
  let broadcast = Soil.Broadcast.create 64 in
  let ready = T.Semaphore.create 0 and n = 300 in
  T.scope (fun s ->
      ignore
      @@ T.spawn s (fun () ->
             D.each (fun _ ->
                 T.scope (fun s ->
                     let subscription = Soil.Broadcast.subscribe s broadcast in
                     T.Semaphore.release ready;
                     let rec go last missed =
                       match Soil.Broadcast.take subscription with
                       | Message v ->
                           same "in order" true (v > last);
                           go v missed
                       | Missed m -> go (last + m) (missed + m)
                       | Ended -> same "the last" n last
                     in
                     go 0 0)));
      for _ = 1 to D.count () do
        T.Semaphore.acquire ready
      done;
      for v = 1 to n do
        Soil.Broadcast.publish broadcast v;
        if v mod 20 = 0 then T.yield ()
      done;
      Soil.Broadcast.close broadcast);
  int "no subscriber is left" 0 (Soil.Broadcast.subscribers broadcast)

(* Two domains in step, where no third one's wake makes up for one that is lost: a pusher and a taker
   of a stream without room, and a publisher that waits for its only subscriber. *)
let in_step () =
  let last = D.count () - 1 and rounds = 4000 in
  let stream = T.Stream.create 0 in
  T.scope (fun s ->
      ignore
        (D.spawn ~domain:last s (fun () ->
             for v = 1 to rounds do
               T.Stream.push stream v
             done));
      for v = 1 to rounds do
        int "the next" v (T.Stream.take stream)
      done);
  let broadcast = Soil.Broadcast.create 1 and taken = T.Semaphore.create 0 in
  T.scope (fun s ->
      let subscribe () =
        T.scope @@ fun s ->
        let subscription = Soil.Broadcast.subscribe s broadcast in
        T.Semaphore.release taken;
        for v = 1 to rounds do
          same "the next value" (Soil.Broadcast.Message v) (Soil.Broadcast.take subscription);
          T.Semaphore.release taken
        done
      in
      ignore (D.spawn ~domain:last s subscribe);
      T.Semaphore.acquire taken;
      for v = 1 to rounds do
        Soil.Broadcast.publish broadcast v;
        T.Semaphore.acquire taken
      done);
  let mutex = T.Mutex.create () and changed = T.Condition.create () and full = ref false in
  T.scope (fun s ->
      let consume () =
        for _ = 1 to rounds do
          T.Mutex.protect mutex (fun () ->
              while not !full do
                T.Condition.wait changed mutex
              done;
              full := false);
          T.Semaphore.release taken
        done
      in
      ignore (D.spawn ~domain:last s consume);
      for _ = 1 to rounds do
        (* At once, when the consumer gives it back. *)
        while not (T.Mutex.try_lock mutex) do
          Domain.cpu_relax ()
        done;
        full := true;
        T.Mutex.unlock mutex;
        T.Condition.signal changed;
        T.Semaphore.acquire taken
      done)

(* A unit that comes from another domain while its taker is cancelled is taken, or is still there. *)
let cancelled_in_step () =
  let last = D.count () - 1 and rounds = 3000 in
  if last > 0 then (
    T.scope @@ fun s ->
    let units = T.Semaphore.create 0 in
    let waiting = Atomic.make 0 and released = Atomic.make 0 in
    let begun = T.Promise.create () in
    let cancel () =
      T.Promise.fulfil begun ();
      let tasks () = (Soil.Machine.scheduler ()).tasks in
      let before = tasks () in
      for round = 1 to rounds do
        let taken = ref false in
        T.scope (fun s ->
            let take () =
              T.Semaphore.acquire units;
              taken := true
            in
            let taker = T.spawn s take in
            T.yield ();
            Atomic.set waiting round;
            (* After the release, or at about the same time. *)
            if round land 1 = 0 then
              while Atomic.get released < round do
                Domain.cpu_relax ()
              done
            else
              for _ = 1 to round mod 300 do
                Domain.cpu_relax ()
              done;
            T.cancel taker);
        if not !taken then T.Semaphore.acquire units
      done;
      same "each task has ended once" before (tasks ())
    in
    let canceller = D.spawn ~domain:last s cancel in
    T.Promise.await begun;
    for round = 1 to rounds do
      while Atomic.get waiting < round do
        Domain.cpu_relax ()
      done;
      T.Semaphore.release units;
      Atomic.set released round
    done;
    T.await canceller;
    int "no unit is left" 0 (T.Semaphore.available units))

let locals () =
  let a = T.Local.create () and b = T.Local.create () in
  T.Local.with_ a 7 @@ fun () ->
  D.each (fun i ->
      same "inherited" (Some 7) (T.Local.get a);
      for n = 1 to 100 do
        T.Local.with_ b (i + n) (fun () ->
            T.yield ();
            same "its own" (Some (i + n)) (T.Local.get b))
      done)

let echo () =
  let listener = Soil.Tcp.listen ~address:Soil.Net.loopback ~port:0 () in
  let address = Soil.Tcp.local listener in
  let served = Array.init (D.count ()) (fun _ -> Atomic.make 0) in
  let serve i =
    Soil.Tcp.serve listener @@ fun c ->
    Atomic.incr served.(i);
    let b = Bytes.create 4096 in
    let rec go () =
      let n = F.read c b 0 4096 in
      if n > 0 then (
        F.write c b 0 n;
        go ())
    in
    go ()
  in
  let clients = 8 * D.count () in
  T.scope (fun s ->
      ignore (T.spawn_daemon s (fun () -> D.each serve));
      D.each (fun i ->
          T.iter
            (fun n ->
              Soil.Tcp.with_connection address @@ fun c ->
              let text = String.init (1000 + n) (fun k -> Char.chr ((i + n + k) land 255)) in
              for _ = 1 to 5 do
                F.write_string c text;
                let b = Bytes.create (String.length text) in
                F.really_read c b 0 (Bytes.length b);
                same "the same" text (Bytes.to_string b)
              done)
            (List.init 8 Fun.id)));
  int "connections" clients (Array.fold_left (fun n count -> n + Atomic.get count) 0 served);
  (* Each domain has as many as the others: they stay open. *)
  let serving = Array.init (D.count ()) (fun _ -> Atomic.make 0) and enough = T.Promise.create () in
  let hold i =
    Soil.Tcp.serve listener @@ fun c ->
    Atomic.incr serving.(i);
    F.write_string c "!";
    T.Promise.await enough
  in
  T.scope (fun s ->
      ignore (T.spawn_daemon s (fun () -> D.each hold));
      let connect () =
        let c = Soil.Tcp.connect address in
        F.really_read c (Bytes.create 1) 0 1;
        c
      in
      let all_serve () = Array.for_all (fun n -> Atomic.get n > 0) serving in
      let rec until_all_serve connections =
        if all_serve () then connections else until_all_serve (connect () :: connections)
      in
      let first = until_all_serve [] in
      let most = Array.fold_left (fun most n -> max most (Atomic.get n)) 0 serving in
      let each = most + 10 in
      let more = List.init ((each * D.count ()) - List.length first) (fun _ -> connect ()) in
      let is_even () = Array.for_all (fun n -> Atomic.get n = Atomic.get serving.(0)) serving in
      (* A domain that the machine kept from running for a while has fewer. The next ones are its. *)
      let rec until_even left connections =
        if is_even () then connections
        else if left = 0 then fail "uneven"
        else until_even (left - 1) (connect () :: connections)
      in
      let connections = until_even (4 * D.count ()) (first @ more) in
      T.Promise.fulfil enough ();
      List.iter F.close connections);
  F.close listener

(* A server starts its domains, unless they run, and ends them. *)
let of_a_server () =
  let listener = Soil.Tcp.listen ~address:Soil.Net.loopback ~port:0 () in
  let address = Soil.Tcp.local listener in
  let serves = Array.init domains (fun _ -> Atomic.make false) in
  let handler c =
    Atomic.set serves.(D.self ()) true;
    F.write_string c "!";
    ignore (F.read c (Bytes.create 1) 0 1)
  in
  let rec connect_until_all_serve connections =
    let c = Soil.Tcp.connect address in
    F.really_read c (Bytes.create 1) 0 1;
    let connections = c :: connections in
    if Array.for_all Atomic.get serves then connections else connect_until_all_serve connections
  in
  is_invalid "no domain" (fun () -> D.each ~domains:0 ignore);
  T.scope (fun s ->
      let server =
        T.spawn s (fun () -> D.each ~domains (fun _ -> Soil.Tcp.serve listener handler))
      in
      List.iter F.close (connect_until_all_serve []);
      F.close listener;
      T.await server)

let server_outside () =
  Soil.run (fun () -> T.timeout patience of_a_server);
  int "domains afterwards" 1 (D.count ())

(* Two tasks start the domains together: both have all of them, as long as each lasts. *)
let two_servers () =
  Soil.run @@ fun () ->
  T.timeout patience @@ fun () ->
  let serve until =
    let runs = Atomic.make 0 in
    D.each ~domains (fun i ->
        int "its number" i (D.self ());
        Atomic.incr runs;
        T.Promise.await until;
        int "its number, later" i (D.self ()));
    int "in all domains" domains (Atomic.get runs)
  in
  (* The first task starts them, and ends before the second. *)
  let first_over = T.Promise.create () and second_over = T.Promise.create () in
  T.scope (fun s ->
      let first = T.spawn s (fun () -> serve first_over) in
      let second = T.spawn s (fun () -> serve second_over) in
      T.Promise.fulfil first_over ();
      Soil.Clock.sleep 0.01;
      T.Promise.fulfil second_over ();
      T.await first;
      T.await second);
  int "domains afterwards" 1 (D.count ())

(* A listener is closed while a connection is on its way to a domain that computes. *)
let closing () =
  if D.count () > 1 then (
    let listener = Soil.Tcp.listen ~address:Soil.Net.loopback ~port:0 () in
    let address = Soil.Tcp.local listener in
    let descriptors () = Option.get (Soil.Machine.counter "descriptors") in
    let stop = Atomic.make false and ready = T.Semaphore.create 0 in
    let until_stopped relax =
      while not (Atomic.get stop) do
        relax ()
      done
    in
    let all = List.init (D.count ()) Fun.id in
    T.scope @@ fun s ->
    let serve _ =
      T.Semaphore.release ready;
      Soil.Tcp.serve listener (fun _ -> until_stopped (fun () -> Soil.Clock.sleep 0.001))
    in
    let serving = T.spawn s (fun () -> D.each serve) in
    List.iter (fun _ -> T.Semaphore.acquire ready) all;
    let compute () =
      T.Semaphore.release ready;
      until_stopped Domain.cpu_relax
    in
    List.iter (fun i -> ignore (D.spawn ~domain:i s compute)) (others ());
    List.iter (fun _ -> T.Semaphore.acquire ready) (others ());
    (* The first domain accepts all of them, and keeps one. *)
    let before = descriptors () in
    let clients = List.map (fun _ -> Soil.Tcp.connect address) all in
    while descriptors () < before + (2 * D.count ()) do
      Soil.Clock.sleep 0.001
    done;
    F.close listener;
    Atomic.set stop true;
    T.await serving;
    List.iter F.close clients)

(* What one domain computes delays no other one's tasks: they come and go while it does nothing else. *)
let computing () =
  if D.count () > 1 then (
    let stop = Atomic.make false and pings = T.Stream.create 0 and pongs = T.Stream.create 0 in
    T.scope @@ fun s ->
    let started = T.Promise.create () in
    let quiet =
      D.spawn ~domain:1 s (fun () ->
          T.Promise.fulfil started ();
          T.scope (fun s ->
              ignore
              @@ T.spawn s (fun () ->
                     for n = 1 to 100 do
                       T.Stream.push pongs (T.Stream.take pings + n)
                     done);
              for n = 1 to 100 do
                T.Stream.push pings n;
                same "an answer" (2 * n) (T.Stream.take pongs);
                if n mod 10 = 0 then Soil.Clock.sleep 0.0001
              done);
          Atomic.set stop true)
    in
    T.Promise.await started;
    while not (Atomic.get stop) do
      Domain.cpu_relax ()
    done;
    T.await quiet)

(* New connections go to the domains that don't compute, however few the others have. *)
let around () =
  if D.count () > 1 then (
    let listener = Soil.Tcp.listen ~address:Soil.Net.loopback ~port:0 () in
    let stop = Atomic.make false and served = Array.init (D.count ()) (fun _ -> Atomic.make 0) in
    T.scope @@ fun s ->
    let ready = T.Semaphore.create 0 in
    let serve i =
      T.Semaphore.release ready;
      Soil.Tcp.serve listener @@ fun c ->
      Atomic.incr served.(i);
      F.write_string c "!";
      ignore (F.read c (Bytes.create 1) 0 1)
    in
    let serving = T.spawn s (fun () -> D.each serve) in
    let compute () =
      T.Semaphore.release ready;
      while not (Atomic.get stop) do
        Domain.cpu_relax ()
      done
    in
    let all_ready = List.iter (fun _ -> T.Semaphore.acquire ready) in
    all_ready (List.init (D.count ()) Fun.id);
    List.iter (fun i -> ignore (D.spawn ~domain:i s compute)) (others ());
    all_ready (others ());
    (* For longer than a domain computes usually. *)
    Soil.Clock.sleep 0.2;
    let connect _ =
      let c = Soil.Tcp.connect (Soil.Tcp.local listener) in
      F.really_read c (Bytes.create 1) 0 1;
      c
    in
    let clients = List.init 20 connect in
    int "of the domain that is free" 20 (Atomic.get served.(0));
    Atomic.set stop true;
    List.iter F.close clients;
    F.close listener;
    T.await serving)

(* A connection reaches another one of those that wait for it if the first is cancelled, or accepts
   no more. *)
let acceptors () =
  let listener = Soil.Tcp.listen ~address:Soil.Net.loopback ~port:0 () in
  for round = 1 to 20 do
    T.scope @@ fun s ->
    let accepted = Atomic.make 0 and all_accepted = T.Promise.create () in
    let wanted = 2 * D.count () in
    let accept () =
      F.close (Soil.Tcp.accept listener);
      if Atomic.fetch_and_add accepted 1 = wanted - 1 then T.Promise.fulfil all_accepted ()
    in
    let tasks = List.init (3 * D.count ()) (fun i -> D.spawn ~domain:(i mod D.count ()) s accept) in
    let connect _ = Soil.Tcp.connect (Soil.Tcp.local listener) in
    let early = if round mod 2 = 0 then List.init (D.count ()) connect else [] in
    (* A third of them. *)
    List.iteri (fun i task -> if i < D.count () then T.cancel task) tasks;
    let late = List.init (wanted - List.length early) connect in
    T.Promise.await all_accepted;
    List.iter F.close (early @ late);
    T.cancel_scope s
  done;
  F.close listener

let files () =
  D.each (fun i ->
      match Soil.Kv.connect "/nothing" with
      | _ -> same "the domain" 0 i
      | exception Invalid_argument _ -> same "another" true (i > 0))

(* A server that fails in any domain is reported, and replaced with its listener. *)
let supervised () =
  let module S = Soil.Supervisor in
  let port = ref 0 and reasons = ref [] in
  let listen scope =
    let l = F.own scope (Soil.Tcp.listen ~address:Soil.Net.loopback ~port:!port ()) in
    port := (Soil.Tcp.local l).port;
    l
  in
  let handler c =
    let b = Bytes.create 1 in
    F.really_read c b 0 1;
    if Bytes.get b 0 = '!' then raise (Ours (D.self ()));
    F.write c b 0 1
  in
  let serve l = D.each (fun _ -> Soil.Tcp.serve ~on_error:(fun _ e -> raise e) l handler) in
  let report _ (h : S.health) =
    match (h.state, h.last) with
    | S.Waiting _, Some reason -> reasons := reason :: !reasons
    | _ -> ()
  in
  let backoff = { S.first = 0.; most = 0.; jitter = 0. } in
  let limit = { S.restarts = max_int; within = 1. } in
  S.run ~report ~backoff ~limit @@ fun s ->
  ignore (S.add s "server" listen ~run:serve);
  let ask what =
    let endpoint = { Soil.Net.address = Soil.Net.loopback; port = !port } in
    match
      Soil.Tcp.with_connection endpoint @@ fun c ->
      F.write_string c what;
      F.read c (Bytes.create 1) 0 1
    with
    | n -> n
    | exception Soil.Error _ -> 0
  in
  let rec until_served () =
    if ask "x" = 0 then (
      Soil.Clock.sleep 0.001;
      until_served ())
  in
  for round = 1 to 3 do
    until_served ();
    int "no answer" 0 (ask "!");
    while List.length !reasons < round do
      Soil.Clock.sleep 0.001
    done
  done;
  until_served ();
  let is_ours = function S.Failed (Ours _, _) -> true | _ -> false in
  List.iter (fun reason -> if not (is_ours reason) then fail (S.reason_to_string reason)) !reasons;
  S.stop s

(* On one processor calls seldom meet, and emulated ones take long. *)
let orders () =
  let rounds = if Domain.recommended_domain_count () > 1 && not Soil.on_vm then 4000 else 50 in
  if D.count () > 1 then Orders.all rounds

let cases =
  [
    ("one", one);
    in_domains "numbers" numbers;
    in_domains "results and exceptions" results;
    in_domains "cancellation" cancellation;
    in_domains "a stream without room" (stream 0);
    in_domains "a stream of one" (stream 1);
    in_domains "a stream of ten" (stream 10);
    in_domains "mutexes, semaphores, conditions" exclusion;
    in_domains "promises" promises;
    in_domains "orders of calls" orders;
    in_domains "waits that are cancelled" cancelled_waits;
    in_domains "broadcasts" broadcasts;
    in_domains "two domains in step" in_step;
    in_domains "cancelled in step" cancelled_in_step;
    in_domains "locals" locals;
    in_domains "connections" echo;
    ("a server's own domains", server_outside);
    ("two servers' domains", two_servers);
    in_domains "a server in domains that run" of_a_server;
    in_domains "a supervised server" supervised;
    in_domains "a listener that is closed" closing;
    in_domains "a domain that computes" computing;
    in_domains "connections beside domains that compute" around;
    in_domains "several that accept" acceptors;
    in_domains "of the first domain" files;
  ]
