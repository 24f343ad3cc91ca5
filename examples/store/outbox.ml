let lease =
  Database.statement
    "update outbox set due = now() + interval '30 s', attempts = attempts + 1 where order_id = \
     (select order_id from outbox where due <= now() order by due limit 1 for update skip locked) \
     returning order_id, attempts"

let remove =
  Database.statement
    "with sent as (delete from outbox where order_id = $1 returning order_id) update orders set \
     confirmed = true from sent where orders.id = sent.order_id"

let postpone =
  Database.statement
    "update outbox set due = now() + $2::bigint * interval '1 s' where order_id = $1"

let delay attempts = if attempts >= 12 then 3600 else 1 lsl attempts

let attempt db ~deliver id attempts =
  match Orders.find db (int_of_string id) with
  | None -> ()
  | Some (order, name) -> (
      match Soil.Task.timeout 10. (fun () -> deliver order ~name) with
      | () -> ignore (Database.query db remove [ id ])
      | exception (Soil.Task.Cancelled as e) -> raise e
      | exception e ->
          let seconds = delay (int_of_string attempts) in
          Printf.eprintf "store: confirmation of order %s: %s; again in %d s\n%!" id
            (Printexc.to_string e) seconds;
          ignore (Database.query db postpone [ id; string_of_int seconds ]))

let step db ~deliver =
  match Database.query db lease [] with
  | [ [ id; attempts ] ] -> attempt db ~deliver id attempts
  | _ -> Soil.Clock.sleep 0.5

let run db ~deliver = Database.forever ~name:"confirmations" (fun () -> step db ~deliver)
