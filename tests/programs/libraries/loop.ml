(* luv: libuv's loop with timers, files by its thread pool, and work in threads. *)
let check what = function
  | Ok value -> value
  | Error error -> failwith (what ^ ": " ^ Luv.Error.strerror error)

let () =
  let steps = ref [] in
  let note step = steps := step :: !steps in
  let timer delay name =
    let timer = check "timer" (Luv.Timer.init ()) in
    (* By the loop's time, which is the same for all: a busy host takes long between two of them. *)
    check "start" (Luv.Timer.start ~call_update_time:false timer delay (fun () -> note name))
  in
  timer 60 "third";
  timer 20 "second";
  timer 0 "first";
  ignore (Luv.Loop.run () : bool);
  Printf.printf "timers %s\n" (String.concat " " (List.rev !steps))

let ( let* ) operation continue = operation continue

let () =
  let path = Filename.temp_file "luv" ".txt" in
  (let* opened = Luv.File.open_ path [ `WRONLY; `TRUNC ] in
   let file = check "open" opened in
   let* written = Luv.File.write file [ Luv.Buffer.from_string "written by libuv" ] in
   Printf.printf "wrote %d\n" (Unsigned.Size_t.to_int (check "write" written));
   let* closed = Luv.File.close file in
   check "close" closed;
   let* stat = Luv.File.stat path in
   Printf.printf "size %d\n" (Unsigned.UInt64.to_int (check "stat" stat).Luv.File.Stat.size);
   let* opened = Luv.File.open_ path [ `RDONLY ] in
   let file = check "open" opened in
   let buffer = Luv.Buffer.create 64 in
   let* count = Luv.File.read file [ buffer ] in
   let length = Unsigned.Size_t.to_int (check "read" count) in
   print_endline (Luv.Buffer.to_string (Luv.Buffer.sub buffer ~offset:0 ~length));
   let* closed = Luv.File.close file in
   check "close" closed;
   let* removed = Luv.File.unlink path in
   check "unlink" removed;
   print_endline "removed");
  ignore (Luv.Loop.run () : bool);
  match Luv.File.Sync.stat path with
  | Ok _ -> print_endline "still there"
  | Error error -> print_endline (Luv.Error.err_name error)

let () =
  let sum = Atomic.make 0 in
  for number = 1 to 8 do
    Luv.Thread_pool.queue_work (fun () -> ignore (Atomic.fetch_and_add sum number)) (check "work")
  done;
  ignore (Luv.Loop.run () : bool);
  Printf.printf "sum %d\n" (Atomic.get sum)
