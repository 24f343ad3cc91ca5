(* Two threads in turns, or idle for COUNT seconds: threads.exe KIND COUNT. The host times what lies
   between the lines. *)

let by_yielding count =
  let turn = Atomic.make 0 in
  let work me =
    while Atomic.get turn < count do
      if Atomic.get turn land 1 = me then Atomic.incr turn;
      Thread.yield ()
    done
  in
  let other = Thread.create work 1 in
  work 0;
  Thread.join other

let by_conditions count =
  let mutex = Mutex.create () and changed = Condition.create () in
  let turn = ref 0 in
  let work me =
    Mutex.protect mutex (fun () ->
        while !turn < count do
          if !turn land 1 = me then (
            incr turn;
            Condition.signal changed)
          else Condition.wait changed mutex
        done;
        Condition.signal changed)
  in
  let other = Thread.create work 1 in
  work 0;
  Thread.join other

let idle seconds = Thread.join (Thread.create Thread.delay (float_of_int seconds))

let () =
  let count = int_of_string Sys.argv.(2) in
  print_endline "begin";
  (match Sys.argv.(1) with
  | "yield" -> by_yielding count
  | "idle" -> idle count
  | _ -> by_conditions count);
  print_endline "end"
