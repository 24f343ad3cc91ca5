let () =
  let m = Mutex.create () in
  let c = Condition.create () in
  let n = ref 0 in
  let ts = List.init 8 (fun i -> Thread.create (fun () ->
    for _ = 1 to 1000 do Mutex.lock m; incr n; Mutex.unlock m; if i land 1 = 0 then Thread.yield () done;
    Mutex.lock m; Condition.broadcast c; Mutex.unlock m) ()) in
  Mutex.lock m;
  while !n < 8000 do Condition.wait c m done;
  Mutex.unlock m;
  List.iter Thread.join ts;
  Printf.printf "n %d\n%!" !n;
  let stop = ref false in
  let spin = Thread.create (fun () -> let x = ref 0 in while not !stop do incr x done; !x |> ignore) () in
  Thread.delay 0.2;
  stop := true;
  Thread.join spin;
  print_endline "spinner stopped";
  let ch = Event.new_channel () in
  let t = Thread.create (fun () -> for i = 1 to 100 do Event.sync (Event.send ch i) done) () in
  let s = ref 0 in
  for _ = 1 to 100 do s := !s + Event.sync (Event.receive ch) done;
  Thread.join t;
  Printf.printf "sum %d\n%!" !s;
  let ts = List.init 300 (fun i -> Thread.create (fun () -> Thread.delay 0.05; i) ()) in
  List.iter (fun t -> ignore (Thread.join t)) ts;
  print_endline "300 threads";
  (try ignore (Domain.join (Domain.spawn (fun () -> 1))); print_endline "domain ran" with e -> print_endline (Printexc.to_string e))
