open Store

let force = function Ok value -> value | Error reason -> failwith reason

let show name = function
  | Ok (Orders.New { id; total; _ }) -> Printf.printf "%s: order %d, %d cents\n" name id total
  | Ok (Repeated { id; _ }) -> Printf.printf "%s: order %d, as before\n" name id
  | Error (Orders.Not_in_stock { quantity; _ }) -> Printf.printf "%s: no %d\n" name quantity
  | Error Key_reused -> Printf.printf "%s: another order has this key\n" name

let rec wait_confirmed db =
  if not (List.for_all (fun ((o : Orders.t), _) -> o.confirmed) (Orders.after db 0)) then (
    Soil.Clock.sleep 0.1;
    wait_confirmed db)

let () =
  Soil.run @@ fun () ->
  Soil.Task.scope @@ fun scope ->
  let db = Database.create scope (Uri.of_string Sys.argv.(1)) in
  let ann = force (Accounts.credentials ~name:"ann" ~password:"correct horse") in
  let account = Result.get_ok (Accounts.register db ann) in
  let order name key quantity =
    let lines = force (Orders.lines [ { product = 1; quantity } ]) in
    show name (Orders.place db ~account ~key:(Option.get (Orders.key key)) lines)
  in
  order "the first" "a" 2;
  order "its repetition" "a" 2;
  order "another with its key" "a" 3;
  order "too many" "b" 9;
  let deliver (order : Orders.t) ~name =
    Printf.printf "to %s: order %d is on its way\n" name order.id
  in
  ignore (Soil.Task.spawn_daemon scope (fun () -> Outbox.run db ~deliver));
  wait_confirmed db
