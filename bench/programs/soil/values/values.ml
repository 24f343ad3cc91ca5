(* Many values of 100 bytes in one dictionary of /data/store. Each argument is one piece of work,
   its words separated by '/', and prints its time: [batch/COUNT] sets values from the first on,
   [set/COUNT] sets some of these one after the other, [together/TASKS/COUNT] from many tasks,
   [connect] reads the names, [get/COUNT] gets values, [pages/LIMIT] lists all, [page/LIMIT] one
   page. *)
module Kv = Soil.Kv

let ok = function Ok v -> v | Error e -> failwith (Kv.error_to_string e)
let store = ref None
let connect () = store := Some (ok (Kv.connect "/data/store"))
let the_store () = Option.get !store
let key i = Kv.Key.v (Printf.sprintf "many/key %08d" i)
let value = String.make 100 'v'
let set store i = ok (Kv.set store (key i) value)

(* Scattered over the values. *)
let some count f =
  for i = 1 to count do
    f (i * 7919 mod 10_000)
  done

let batch count =
  let each = 10_000 in
  for first = 0 to (count - 1) / each do
    let one store =
      for i = first * each to min count ((first + 1) * each) - 1 do
        set store i
      done
    in
    Kv.batch (the_store ()) one
  done

let together tasks count =
  let task number =
    for i = 1 to count / tasks do
      set (the_store ()) (number + (tasks * (i mod 50)))
    done
  in
  Soil.Task.iter task (List.init tasks Fun.id)

let page after limit = ok (Kv.list ~after ~limit (the_store ()) (Kv.Key.v "many"))

let rec pages after limit found =
  match List.rev (page after limit) with
  | [] -> Printf.printf "%d values\n%!" found
  | last :: _ as all -> pages (Kv.Key.basename (fst last)) limit (found + List.length all)

let work words =
  let number = int_of_string in
  match words with
  | [ "batch"; count ] -> batch (number count)
  | [ "set"; count ] -> some (number count) (set (the_store ()))
  | [ "together"; tasks; count ] -> together (number tasks) (number count)
  | [ "get"; count ] -> some (number count) (fun i -> ignore (ok (Kv.get (the_store ()) (key i))))
  | [ "connect" ] ->
      connect ();
      ignore (Kv.exists (the_store ()) (key 0))
  | [ "pages"; limit ] -> pages "" (number limit) 0
  | [ "page"; limit ] -> ignore (page "key 00005000" (number limit))
  | _ ->
      failwith
        "batch/COUNT, set/COUNT, together/TASKS/COUNT, connect, get/COUNT, page/LIMIT, pages/LIMIT"

let () =
  Soil.run @@ fun () ->
  connect ();
  let one words =
    let start = Soil.Clock.monotonic () in
    work (String.split_on_char '/' words);
    let seconds = Soil.Clock.monotonic () -. start in
    Gc.full_major ();
    let space = Soil.Fs.space "/data" in
    Printf.printf "%s: %.1f ms, %d KiB of the heap, %d MiB free\n%!" words (1000. *. seconds)
      ((Gc.quick_stat ()).heap_words / 128)
      (space.free / 1_048_576)
  in
  List.iter one (List.tl (Array.to_list Sys.argv))
