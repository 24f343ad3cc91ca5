(* Domainslib and Saturn: a sum over a pool, and a queue that four threads fill. *)

module T = Domainslib.Task
module Queue = Saturn.Queue

let () =
  let pool = T.setup_pool ~num_domains:2 () in
  let sum =
    T.run pool (fun () -> T.parallel_for_reduce pool ~start:1 ~finish:1000 ~body:Fun.id ( + ) 0)
  in
  T.teardown_pool pool;
  Printf.printf "sum: %d\n" sum;
  let queue = Queue.create () in
  let producer first =
    Thread.create
      (fun () ->
        for i = 0 to 249 do
          Queue.push queue ((i * 4) + first)
        done)
      ()
  in
  List.iter Thread.join (List.init 4 producer);
  let rec total sum = match Queue.pop_opt queue with Some n -> total (sum + n) | None -> sum in
  Printf.printf "through the queue: %d\n" (total 0)
