(* Threads that read and write files and a pipe at once. *)
let () =
  let ok = Atomic.make 0 in
  let worker i =
    for k = 1 to 30 do
      let name = Printf.sprintf "/tmp/f%d" i in
      let oc = open_out_bin name in
      for j = 1 to 200 do
        Printf.fprintf oc "%d %d %d\n" i k j
      done;
      close_out oc;
      let ic = open_in_bin name in
      let n = ref 0 in
      (try
         while true do
           let l = input_line ic in
           incr n;
           assert (l = Printf.sprintf "%d %d %d" i k !n)
         done
       with End_of_file -> ());
      close_in ic;
      assert (!n = 200);
      Sys.rename name (name ^ "x");
      Sys.remove (name ^ "x")
    done;
    Atomic.incr ok
  in
  let ts = List.init 8 (Thread.create worker) in
  let r, w = Unix.pipe () in
  let reader =
    Thread.create
      (fun () ->
        let b = Bytes.create 100 in
        let rec go n = match Unix.read r b 0 100 with 0 -> n | k -> go (n + k) in
        Printf.printf "piped %d\n%!" (go 0))
      ()
  in
  for _ = 1 to 100 do
    ignore (Unix.write_substring w "0123456789" 0 10);
    Thread.yield ()
  done;
  Unix.close w;
  Thread.join reader;
  List.iter Thread.join ts;
  Printf.printf "ok %d\n%!" (Atomic.get ok);
  let r, w = Unix.pipe () in
  let wait what =
    let readable, _, _ = Unix.select [ r ] [] [] (-1.) in
    let count = Unix.read r (Bytes.create 10) 0 10 in
    Printf.printf "%s: %d to read, %d bytes\n%!" what (List.length readable) count
  in
  let after change what =
    let thread = Thread.create wait what in
    Thread.delay 0.02;
    change ();
    Thread.join thread
  in
  after (fun () -> ignore (Unix.write_substring w "abc" 0 3)) "a write ends another's select";
  after (fun () -> Unix.close w) "a close ends another's select"
