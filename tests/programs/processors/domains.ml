(* Domains: what they compute, join, share and raise. *)

let count = int_of_string Sys.argv.(1)

let () =
  Printf.printf "recommended %d\n%!" (Domain.recommended_domain_count ());
  let rec fib n = if n < 2 then n else fib (n - 1) + fib (n - 2) in
  let domains = List.init count (fun i -> Domain.spawn (fun () -> fib (20 + (i mod 4)))) in
  List.iter (fun domain -> Printf.printf "%d\n%!" (Domain.join domain)) domains;
  (* Collections of all domains. *)
  let allocate i () =
    let table = Hashtbl.create 16 in
    for round = 1 to 20000 do
      Hashtbl.replace table (round mod 100) (String.make (round mod 500) (Char.chr (65 + i)))
    done;
    Hashtbl.length table
  in
  let domains = List.init count (fun i -> Domain.spawn (allocate i)) in
  for _ = 1 to 5 do Gc.full_major () done;
  List.iter (fun domain -> Printf.printf "%d\n%!" (Domain.join domain)) domains;
  (match Domain.join (Domain.spawn (fun () -> failwith "in a domain")) with
  | () -> assert false
  | exception Failure text -> print_endline text);
  let rec overflow n = 1 + overflow (n + 1) in
  (match Domain.join (Domain.spawn (fun () -> overflow 0)) with
  | _ -> assert false
  | exception Stack_overflow -> print_endline "overflow");
  let total = Atomic.make 0 in
  let adders =
    List.init count (fun _ ->
        Domain.spawn (fun () -> for _ = 1 to 10000 do Atomic.incr total done))
  in
  List.iter Domain.join adders;
  Printf.printf "total %d\n%!" (Atomic.get total)
