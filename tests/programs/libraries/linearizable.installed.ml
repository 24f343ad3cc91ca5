(* Multicoretests' Lin and STM: two domains call modules of the standard library at random, and each
   result has to be one of some order of the calls. Unsynchronised modules have to survive. *)

module Atomic_api = struct
  type t = int Atomic.t

  let init () = Atomic.make 0
  let cleanup _ = ()

  open Lin

  let api =
    [
      val_ "get" Atomic.get (t @-> returning int);
      val_ "set" Atomic.set (t @-> int @-> returning unit);
      val_ "exchange" Atomic.exchange (t @-> int @-> returning int);
      val_ "fetch_and_add" Atomic.fetch_and_add (t @-> int @-> returning int);
      val_ "compare_and_set" Atomic.compare_and_set (t @-> int @-> int @-> returning bool);
    ]
end

module Semaphore_api = struct
  type t = Semaphore.Counting.t

  let init () = Semaphore.Counting.make 1
  let cleanup _ = ()

  open Lin

  let api =
    [
      val_ "release" Semaphore.Counting.release (t @-> returning unit);
      val_ "try_acquire" Semaphore.Counting.try_acquire (t @-> returning bool);
      val_ "get_value" Semaphore.Counting.get_value (t @-> returning int);
    ]
end

(* Channels have locks of their own. *)
module Channel_api = struct
  type t = string * out_channel

  let init () =
    let name = Filename.temp_file "linearizable" "" in
    (name, Out_channel.open_bin name)

  let cleanup (name, channel) =
    Out_channel.close_noerr channel;
    Sys.remove name

  open Lin

  let on f (_, channel) = f channel
  let output_string (_, channel) text = Out_channel.output_string channel text

  let api =
    [
      val_ "output_string" output_string (t @-> string_small @-> returning_or_exc unit);
      val_ "flush" (on Out_channel.flush) (t @-> returning_or_exc unit);
      val_ "pos" (on Out_channel.pos) (t @-> returning_or_exc int64);
      val_ "length" (on Out_channel.length) (t @-> returning_or_exc int64);
    ]
end

module Table_api = struct
  type t = (int, int) Hashtbl.t

  let init () = Hashtbl.create 4
  let cleanup _ = ()

  open Lin

  let api =
    [
      val_ "add" Hashtbl.add (t @-> int_small @-> int @-> returning_or_exc unit);
      val_ "remove" Hashtbl.remove (t @-> int_small @-> returning_or_exc unit);
      val_ "find" Hashtbl.find (t @-> int_small @-> returning_or_exc int);
      val_ "length" Hashtbl.length (t @-> returning_or_exc int);
    ]
end

(* The collector of each domain clears weak references. *)
module Weak_model = struct
  open STM

  type cmd = Set of int * int option | Get of int | Check of int | Collect
  type state = unit
  type sut = int ref Weak.t

  let show_cmd = function
    | Set (i, _) -> Printf.sprintf "set %d" i
    | Get i -> Printf.sprintf "get %d" i
    | Check i -> Printf.sprintf "check %d" i
    | Collect -> "collect"

  let arb_cmd () =
    let open QCheck.Gen in
    let at = int_bound 7 in
    QCheck.make ~print:show_cmd
      (oneof
         [
           map2 (fun i n -> Set (i, n)) at (option (int_bound 1000));
           map (fun i -> Get i) at;
           map (fun i -> Check i) at;
           return Collect;
         ])

  let init_state = ()
  let next_state _ () = ()
  let init_sut () = Weak.create 8
  let cleanup _ = ()
  let precond _ () = true

  let run cmd weak =
    match cmd with
    | Set (i, n) -> Res (unit, Weak.set weak i (Option.map ref n))
    | Get i -> Res (option int, Option.map ( ! ) (Weak.get weak i))
    | Check i -> Res (bool, Weak.check weak i)
    | Collect -> Res (unit, Gc.minor ())

  let postcond cmd () result =
    match (cmd, result) with
    | Get _, Res ((Option Int, _), Some n) -> n >= 0 && n <= 1000
    | _ -> true
end

module Counter_model = struct
  open STM

  type cmd = Incr | Add of int | Get | Swap of int
  type state = int
  type sut = int Atomic.t

  let show_cmd = function
    | Incr -> "incr"
    | Add n -> Printf.sprintf "add %d" n
    | Get -> "get"
    | Swap n -> Printf.sprintf "swap %d" n

  let arb_cmd _ =
    let open QCheck.Gen in
    QCheck.make ~print:show_cmd
      (oneof
         [
           return Incr; return Get; map (fun n -> Add n) small_int; map (fun n -> Swap n) small_int;
         ])

  let init_state = 0
  let init_sut () = Atomic.make 0
  let cleanup _ = ()
  let precond _ _ = true

  let next_state cmd n =
    match cmd with Incr -> n + 1 | Add more -> n + more | Get -> n | Swap other -> other

  let run cmd counter =
    match cmd with
    | Incr -> Res (unit, Atomic.incr counter)
    | Add n -> Res (int, Atomic.fetch_and_add counter n)
    | Get -> Res (int, Atomic.get counter)
    | Swap n -> Res (int, Atomic.exchange counter n)

  let postcond cmd (before : int) result =
    match (cmd, result) with
    | Incr, Res ((Unit, _), ()) -> true
    | (Add _ | Get | Swap _), Res ((Int, _), n) -> n = before
    | _ -> false
end

module Lin_atomic = Lin_domain.Make (Atomic_api)
module Lin_semaphore = Lin_domain.Make (Semaphore_api)
module Lin_channel = Lin_domain.Make (Channel_api)
module Lin_table = Lin_domain.Make (Table_api)
module Stm_counter = STM_domain.Make (Counter_model)
module Stm_weak = STM_domain.Make (Weak_model)

let () =
  let count = int_of_string Sys.argv.(1) in
  let seed = int_of_string Sys.argv.(2) in
  let check name test =
    QCheck.Test.check_exn ~rand:(Random.State.make [| seed |]) (test ~count ~name);
    Printf.printf "%s: holds\n%!" name
  in
  check "Lin, Atomic" Lin_atomic.lin_test;
  check "Lin, Semaphore" Lin_semaphore.lin_test;
  check "Lin, Out_channel" Lin_channel.lin_test;
  check "STM, Atomic" Stm_counter.agree_test_par;
  check "STM, Weak" Stm_weak.stress_test_par;
  check "Lin, Hashtbl without a lock" Lin_table.stress_test
