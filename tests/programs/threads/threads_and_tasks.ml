(* Tasks of Soil beside threads: the scheduler's wait lets the threads run, and they let it run. *)

open Soil

let say format = Printf.printf (format ^^ "\n%!")

let () =
  let stop = Atomic.make false and slept = Atomic.make 0 in
  let spin () =
    while not (Atomic.get stop) do
      ()
    done
  in
  let sleep () =
    while not (Atomic.get stop) do
      Thread.delay 0.005;
      Atomic.incr slept
    done
  in
  let threads = [ Thread.create spin (); Thread.create sleep () ] in
  Soil.run (fun () ->
      let reader, writer = Soil.pipe () in
      let read () =
        let read = Soil.Reader.create reader in
        for i = 1 to 20 do
          assert (Soil.Reader.line read = string_of_int i)
        done
      in
      let write () =
        for i = 1 to 20 do
          Clock.sleep 0.005;
          File_descriptor.write_string writer (Printf.sprintf "%d\n" i)
        done
      in
      Task.both read write |> ignore;
      say "20 lines went from task to task";
      (* Threads run while all tasks wait. *)
      let before = Atomic.get slept in
      while Atomic.get slept < before + 3 do
        Clock.sleep 0.001
      done;
      say "a thread slept meanwhile");
  Atomic.set stop true;
  List.iter Thread.join threads;
  say "the threads have ended"
