(* Computes for SECONDS without a pause, while connections, datagrams and an unanswered connection
   attempt wait: busy MANNER SECONDS ABSENT.

   Echo on 7 (TCP), without an accept until the computation has ended, and on 7 (UDP); a line on
   80 starts it. ABSENT is an address to connect to. *)
module D = Soil.File_descriptor

type _ Effect.t += Twice : int -> int Effect.t

(* Arithmetic without allocation or a call. *)
let[@inline never] plain n =
  let x = ref n and y = ref 0 in
  for i = 1 to 2_000_000 do
    x := (!x * 25214903917) + 11;
    y := !y lxor (!x lsr 16) lxor i
  done;
  !y

let[@inline never] floats n =
  let a = ref 1. and b = ref 0.5 and c = ref (float n) and d = ref 3. in
  for i = 1 to 200_000 do
    let x = float i in
    a := (!a *. 0.999) +. (x /. 7.);
    b := !b +. sqrt (!a +. !d);
    c := (!c *. 0.5) -. (!b /. x);
    d := Float.abs (!a -. !c) +. (1. /. x)
  done;
  Int64.to_int (Int64.bits_of_float (!a +. !b +. !c +. !d))

let rec deep n = if n = 0 then 0 else 1 + deep (Sys.opaque_identity (n - 1))

let rec effects n =
  if n = 0 then deep 2000
  else
    match Effect.perform (Twice n) + effects (n - 1) with
    | sum -> sum
    | effect Twice k, continuation -> Effect.Deep.continue continuation (2 * k)

let exceptions n =
  let rec raises i = if i = 0 then raise Not_found else 1 + raises (i - 1) in
  let caught = ref 0 in
  for i = 1 to n do
    try ignore (raises (i land 63)) with Not_found -> incr caught
  done;
  !caught

let churn n =
  let table = Hashtbl.create 16 in
  for i = 1 to n do
    Hashtbl.replace table
      (i * 7919 mod 5003)
      (List.init (i land 15) (fun k -> string_of_int (i + k)))
  done;
  Hashtbl.fold (fun key texts sum -> sum + (key * List.length texts)) table 0

let allocating n =
  let outcomes = [ floats n; effects 200; exceptions 2000; churn 20_000; deep 100_000 ] in
  Hashtbl.hash outcomes

(* Rounds until the time is up; each has to give what the first gave. *)
let compute work seconds =
  let until = Unix.gettimeofday () +. seconds in
  let first = work 17 in
  let rec loop () =
    if work 17 <> first then failwith "a round gave another result";
    if Unix.gettimeofday () < until then loop ()
  in
  loop ()

let () =
  let work = match Sys.argv.(1) with "plain" -> plain | _ -> allocating in
  let seconds = float_of_string Sys.argv.(2) in
  Soil.run @@ fun () ->
  let control = Soil.Tcp.listen ~port:80 () in
  let listener = Soil.Tcp.listen ~backlog:50 ~port:7 () in
  let datagrams = Soil.Udp.bind ~port:7 () in
  Soil.Net.wait_up ();
  print_endline "ready";
  let start = Soil.Tcp.accept control in
  ignore (Soil.Reader.line (Soil.Reader.create start));
  Soil.Task.scope @@ fun scope ->
  let absent = Soil.Net.{ address = Address.of_string Sys.argv.(3); port = 9 } in
  ignore
    (Soil.Task.spawn scope (fun () ->
         try ignore (Soil.Tcp.connect absent) with Soil.Error _ -> ()));
  let woken = ref 0 in
  ignore
    (Soil.Task.spawn scope (fun () ->
         let buffer = Bytes.create 2048 in
         while true do
           let n, from = Soil.Udp.receive datagrams buffer 0 2048 in
           incr woken;
           Soil.Udp.send datagrams from buffer 0 n
         done));
  Soil.Clock.sleep 0.2;
  print_endline "computing";
  compute work seconds;
  Printf.printf "computed, %d datagrams meanwhile\n%!" !woken;
  Soil.Tcp.serve listener @@ fun connection ->
  ignore (D.copy ~buffer:16384 ~src:connection ~dst:connection ())
