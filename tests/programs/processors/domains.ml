(* Domains: what they compute, share, keep and raise, and how a program ends that has some. *)

let parallel count work =
  List.map Domain.join (List.init count (fun i -> Domain.spawn (fun () -> work i)))

let sum = List.fold_left ( + ) 0
let say text = Printf.printf "%s\n%!" text

let compute count =
  let rec fib n = if n < 2 then n else fib (n - 1) + fib (n - 2) in
  let found = parallel count (fun i -> fib (15 + (i mod 4))) in
  if found = List.init count (fun i -> fib (15 + (i mod 4))) then say "results: in order"

(* Each allocates, so that all collect, while the first asks for whole cycles. *)
let collect count =
  let work i =
    let table = Hashtbl.create 16 in
    for round = 1 to 5000 do
      Hashtbl.replace table (round mod 100)
        (String.make (round mod 500) (Char.chr (65 + (i mod 26))))
    done;
    Hashtbl.fold
      (fun _ text whole -> whole && String.for_all (fun c -> c = Char.chr (65 + (i mod 26))) text)
      table true
  in
  let domains = List.init count (fun i -> Domain.spawn (fun () -> work i)) in
  for _ = 1 to 5 do
    Gc.full_major ()
  done;
  if List.for_all Domain.join domains then say "collections: nothing is lost"

let raise_exceptions count =
  let domains =
    List.init count (fun i ->
        Domain.spawn (fun () -> if i mod 2 = 0 then failwith (string_of_int i) else i))
  in
  let joined domain =
    match Domain.join domain with n -> n | exception Failure text -> -int_of_string text - 1
  in
  let expected i = if i mod 2 = 0 then -i - 1 else i in
  if List.map joined domains = List.init count expected then say "exceptions: of each domain";
  if List.map joined domains = List.init count expected then say "exceptions: the same again";
  (* By itself the limit is a GiB for each. *)
  Gc.set { (Gc.get ()) with stack_limit = 100_000 };
  let rec overflow n = 1 + overflow (n + 1) in
  let domains = List.init (min count 4) (fun _ -> Domain.spawn (fun () -> overflow 0)) in
  let overflows domain =
    match Domain.join domain with _ -> false | exception Stack_overflow -> true
  in
  if List.for_all overflows domains then say "exceptions: Stack_overflow in each domain"

let store count =
  let key = Domain.DLS.new_key ~split_from_parent:(fun n -> n + 1) (fun () -> 10) in
  Domain.DLS.set key 20;
  let work i =
    let inherited = Domain.DLS.get key in
    Domain.DLS.set key (100 + i);
    Domain.cpu_relax ();
    (inherited, Domain.DLS.get key)
  in
  let found = parallel count work in
  if found = List.init count (fun i -> (21, 100 + i)) && Domain.DLS.get key = 20 then
    say "storage: of each domain";
  let rec inherit_by depth =
    if depth = 0 then Domain.DLS.get key
    else Domain.join (Domain.spawn (fun () -> inherit_by (depth - 1)))
  in
  if inherit_by 2 = 22 then say "storage: from the parent";
  let ids = parallel count (fun _ -> (Domain.self () :> int)) in
  if List.sort_uniq compare ids = ids then say "numbers: each its own, in order";
  if List.for_all not (parallel count (fun _ -> Domain.is_main_domain ())) then
    say "the main domain: only one"

let end_domains count =
  let order = Array.make count [] in
  let work i =
    Domain.at_exit (fun () -> order.(i) <- 1 :: order.(i));
    Domain.at_exit (fun () -> order.(i) <- 2 :: order.(i));
    if i mod 2 = 1 then raise Exit
  in
  let domains = List.init count (fun i -> Domain.spawn (fun () -> work i)) in
  List.iter (fun domain -> try Domain.join domain with Exit -> ()) domains;
  if Array.for_all (( = ) [ 1; 2 ]) order then say "at_exit: the last one first, before the join"

let share count =
  let total = Atomic.make 0 in
  ignore
    (parallel count (fun _ ->
         for _ = 1 to 10_000 do
           Atomic.incr total
         done));
  if Atomic.get total = count * 10_000 then say "atomics: nothing is lost";
  let mutex = Mutex.create () and plain = ref 0 in
  let work _ =
    for _ = 1 to 1000 do
      Mutex.protect mutex (fun () -> incr plain)
    done
  in
  ignore (parallel count work);
  if !plain = count * 1000 then say "mutexes: nothing is lost";
  (* Half of them produce, half consume, by a queue for four. *)
  let mutex = Mutex.create () and changed = Condition.create () and queue = Queue.create () in
  let wait_while condition =
    while condition () do
      Condition.wait changed mutex
    done
  in
  let put n =
    Mutex.protect mutex (fun () ->
        wait_while (fun () -> Queue.length queue >= 4);
        Queue.push n queue;
        Condition.broadcast changed)
  in
  let get () =
    Mutex.protect mutex (fun () ->
        wait_while (fun () -> Queue.is_empty queue);
        Condition.broadcast changed;
        Queue.pop queue)
  in
  let produce () =
    for n = 1 to 200 do
      put n
    done;
    0
  in
  let consume () = sum (List.init 200 (fun _ -> get ())) in
  let pairs = max 1 (count / 2) in
  let found = parallel (2 * pairs) (fun i -> if i mod 2 = 0 then produce () else consume ()) in
  if sum found = pairs * 20_100 then say "conditions: nothing is lost";
  let semaphore = Semaphore.Counting.make 2 in
  let inside = Atomic.make 0 and most = Atomic.make 0 in
  let work _ =
    for _ = 1 to 100 do
      Semaphore.Counting.acquire semaphore;
      let now = 1 + Atomic.fetch_and_add inside 1 in
      if now > Atomic.get most then Atomic.set most now;
      Domain.cpu_relax ();
      Atomic.decr inside;
      Semaphore.Counting.release semaphore
    done
  in
  ignore (parallel count work);
  if Atomic.get most <= 2 && Semaphore.Counting.get_value semaphore = 2 then
    say "semaphores: never more than two"

let run_threads count =
  let work i =
    let found = Array.make 3 0 in
    let run at =
      for n = 1 to 300 do
        found.(at) <- found.(at) + n;
        if n mod 50 = 0 then Thread.yield ();
        if n mod 150 = 0 then Thread.delay 0.001
      done
    in
    List.iter Thread.join (List.init 3 (Thread.create run));
    i + Array.fold_left ( + ) 0 found
  in
  if parallel count work = List.init count (fun i -> i + (3 * 45_150)) then
    say "threads: three in each domain"

(* All of [bytes] through [write], and as many back from [read] of another thread. *)
let pass bytes write read =
  let size = Bytes.length bytes and back = Buffer.create 1000 in
  let rec all at = if at < size then all (at + write bytes at (size - at)) in
  let writer = Thread.create all 0 in
  let part = Bytes.create 3000 in
  while Buffer.length back < size do
    Buffer.add_subbytes back part 0 (read part 0 (Bytes.length part))
  done;
  Thread.join writer;
  Buffer.to_bytes back = bytes

let text i = Bytes.init 40_000 (fun at -> Char.chr ((at + (i * 7)) land 255))

let call_system count =
  let through_pipe i =
    let from, into = Unix.pipe ~cloexec:true () in
    let same = pass (text i) (Unix.write into) (Unix.read from) in
    Unix.close from;
    Unix.close into;
    same
  in
  if List.for_all Fun.id (parallel count through_pipe) then say "pipes: of all domains at once";
  let through_file i =
    let name = Filename.temp_file "domain" (string_of_int i) in
    Out_channel.with_open_bin name (fun out -> Out_channel.output_bytes out (text i));
    let renamed = name ^ ".new" in
    Unix.rename name renamed;
    let same = In_channel.with_open_bin renamed In_channel.input_all = Bytes.to_string (text i) in
    Unix.unlink renamed;
    same && not (Sys.file_exists name || Sys.file_exists renamed)
  in
  if List.for_all Fun.id (parallel count through_file) then say "files: of all domains at once";
  let through_socket i =
    let listener = Unix.socket ~cloexec:true PF_INET SOCK_STREAM 0 in
    Unix.bind listener (ADDR_INET (Unix.inet_addr_loopback, 0));
    Unix.listen listener 1;
    let near = Unix.socket ~cloexec:true PF_INET SOCK_STREAM 0 in
    Unix.connect near (Unix.getsockname listener);
    let far, _ = Unix.accept ~cloexec:true listener in
    let same = pass (text i) (Unix.write near) (Unix.read far) in
    List.iter Unix.close [ near; far; listener ];
    same
  in
  if List.for_all Fun.id (parallel count through_socket) then say "sockets: of all domains at once";
  (* A domain that waits in a system call doesn't keep the others from their collections. *)
  let from, into = Unix.pipe ~cloexec:true () in
  let waiting = Domain.spawn (fun () -> Unix.read from (Bytes.create 1) 0 1) in
  collect count;
  ignore (Unix.write into (Bytes.create 1) 0 1);
  if Domain.join waiting = 1 then say "waits: beside collections"

(* The end of the program, beside domains that compute for ever. *)
let rec for_ever () : 'a =
  ignore (Sys.opaque_identity (ref 0));
  for_ever ()

let leave count work =
  at_exit (fun () -> say "at_exit of the program");
  let started = Atomic.make 0 in
  for _ = 2 to count do
    ignore
      (Domain.spawn (fun () ->
           Atomic.incr started;
           for_ever ()))
  done;
  while Atomic.get started < count - 1 do
    Domain.cpu_relax ()
  done;
  work ()

let () =
  let count = int_of_string Sys.argv.(1) in
  match Sys.argv.(2) with
  | "all" ->
      Printf.printf "recommended: %d\n%!" (Domain.recommended_domain_count ());
      compute count;
      collect count;
      raise_exceptions count;
      store count;
      end_domains count;
      share count;
      run_threads count;
      call_system count
  | "main-exits" -> leave count (fun () -> exit 3)
  | "main-returns" -> leave count ignore
  | "domain-exits" -> leave count (fun () -> Domain.join (Domain.spawn (fun () -> exit 4)))
  | "uncaught" ->
      leave count (fun () -> Domain.join (Domain.spawn (fun () -> failwith "in a domain")))
  | "killed" -> leave count (fun () -> Unix.kill (Unix.getpid ()) Sys.sigterm)
  | "domain-killed" ->
      leave count (fun () ->
          Domain.join (Domain.spawn (fun () -> Unix.kill (Unix.getpid ()) Sys.sigterm)))
  | "unjoined" ->
      leave count (fun () ->
          let over = Atomic.make false in
          ignore
            (Domain.spawn (fun () ->
                 Domain.at_exit (fun () -> Atomic.set over true);
                 failwith "not joined"));
          while not (Atomic.get over) do
            Domain.cpu_relax ()
          done)
  | other -> failwith other
