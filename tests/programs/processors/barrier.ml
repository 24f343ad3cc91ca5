(* How long collections of the first domain take while another enters and leaves blocking sections
   without a pause: each waits until that one takes part. *)

let () =
  let count = int_of_string Sys.argv.(1) in
  let from, into = Unix.pipe ~cloexec:true () in
  let byte = Bytes.create 1 in
  let passes = Atomic.make 0 and over = Atomic.make false in
  let enter_and_leave () =
    while not (Atomic.get over) do
      assert (Unix.write into byte 0 1 = 1 && Unix.read from byte 0 1 = 1);
      Atomic.incr passes
    done
  in
  (* As a value: the link driver has to see the use of this function, too. *)
  let others = List.map Domain.spawn [ enter_and_leave ] in
  while Atomic.get passes = 0 do
    Domain.cpu_relax ()
  done;
  let longest = ref 0. in
  let measure collect =
    let start = Unix.gettimeofday () in
    collect ();
    longest := Float.max !longest (Unix.gettimeofday () -. start)
  in
  let minor = (Gc.quick_stat ()).minor_collections and before = Atomic.get passes in
  for _ = 1 to count do
    measure Gc.minor
  done;
  let minor = (Gc.quick_stat ()).minor_collections - minor in
  let shortest_run = !longest in
  for _ = 1 to count / 10 do
    measure Gc.full_major
  done;
  Printf.printf "%s\n%!" (if minor >= count then "each collection ended" else "some are missing");
  if Atomic.get passes > before then print_endline "beside the other domain";
  Atomic.set over true;
  List.iter Domain.join others;
  if Array.length Sys.argv > 2 then
    Printf.printf "longest minor %.3f ms, of all %.3f ms, %d passes\n" (shortest_run *. 1e3)
      (!longest *. 1e3)
      (Atomic.get passes - before)
