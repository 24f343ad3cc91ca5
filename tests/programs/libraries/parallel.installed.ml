(* Domainslib: pools of domains that share tasks, and channels between domains. *)

module T = Domainslib.Task
module Chan = Domainslib.Chan

let count = int_of_string Sys.argv.(1)
let say name right = Printf.printf "%s: %s\n%!" name (if right then "as expected" else "WRONG")

let loops pool =
  let size = 2000 in
  let cells = Array.make size 0 in
  T.parallel_for pool ~chunk_size:16 ~start:0 ~finish:(size - 1) ~body:(fun n ->
      cells.(n) <- cells.(n) + n);
  say "parallel_for" (cells = Array.init size Fun.id);
  let sum = T.parallel_for_reduce pool ~start:1 ~finish:size ~body:Fun.id ( + ) 0 in
  say "parallel_for_reduce" (sum = size * (size + 1) / 2);
  (* Concatenation doesn't commute. *)
  let words = Array.init 200 string_of_int in
  let starts = T.parallel_scan pool ( ^ ) words in
  let before = ref "" in
  let next word =
    before := !before ^ word;
    !before
  in
  say "parallel_scan" (starts = Array.map next words);
  let find wanted =
    T.parallel_find pool ~start:0 ~finish:(size - 1) ~body:(fun n ->
        if n = wanted then Some n else None)
  in
  say "parallel_find" (find 1234 = Some 1234 && find size = None)

(* Tasks that wait for tasks; idle domains take them from those that have some. *)
let tasks pool =
  let rec fibonacci n = if n < 2 then n else fibonacci (n - 1) + fibonacci (n - 2) in
  let rec shared n =
    if n < 8 then fibonacci n
    else
      let left = T.async pool (fun () -> shared (n - 1)) in
      let right = T.async pool (fun () -> shared (n - 2)) in
      T.await pool left + T.await pool right
  in
  say "tasks of tasks" (shared 16 = fibonacci 16);
  let promises =
    List.init 20 (fun n -> T.async pool (fun () -> if n mod 3 = 0 then failwith "task" else n))
  in
  let result promise = match T.await pool promise with n -> n | exception Failure _ -> -1 in
  let expected n = if n mod 3 = 0 then -1 else n in
  say "tasks that fail" (List.map result promises = List.init 20 expected)

let channels () =
  let rounds = 500 in
  let through channel =
    let send which () =
      for n = 1 to rounds do
        Chan.send channel ((which * rounds) + n)
      done;
      []
    and receive () = List.init rounds (fun _ -> Chan.recv channel) in
    let half = max 1 (count / 2) in
    let work = List.init half send @ List.init half (fun _ -> receive) in
    let found = List.concat_map Domain.join (List.map Domain.spawn work) in
    List.sort compare found = List.init (half * rounds) succ
  in
  say "channels"
    (List.for_all through [ Chan.make_unbounded (); Chan.make_bounded 0; Chan.make_bounded 3 ])

let () =
  let pool = T.setup_pool ~name:"first" ~num_domains:count () in
  say "a pool by name"
    (match T.lookup_pool "first" with
    | Some found -> found == pool && T.get_num_domains found = count + 1
    | None -> false);
  T.run pool (fun () ->
      loops pool;
      tasks pool);
  T.teardown_pool pool;
  say "the end of a pool"
    (match T.run pool ignore with () -> false | exception Invalid_argument _ -> true);
  channels ()
