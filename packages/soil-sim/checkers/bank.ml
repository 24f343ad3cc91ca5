type operation = Read | Transfer of { source : string; target : string; amount : int }
type result = Balances of (string * int) list | Transferred | Refused

let sum = List.fold_left (fun sum (_, balance) -> sum + balance) 0
let names balances = List.sort String.compare (List.map fst balances)

let pp_operation = function
  | Read -> "read"
  | Transfer { source; target; amount } ->
      Printf.sprintf "transfer %d from %s to %s" amount source target

let pp_result = function
  | Balances balances ->
      List.map (fun (account, balance) -> Printf.sprintf "%s=%d" account balance) balances
      |> String.concat " "
  | Transferred -> "transferred"
  | Refused -> "refused"

let check ?(overdraft = false) ~accounts history =
  let expected_names = names accounts and total = sum accounts in
  let wrong balances =
    if names balances <> expected_names then Some "the accounts differ"
    else if sum balances <> total then
      Some (Printf.sprintf "the sum is %d instead of %d" (sum balances) total)
    else if (not overdraft) && List.exists (fun (_, balance) -> balance < 0) balances then
      Some "a balance is negative"
    else None
  in
  let read (op : (operation, result) History.operation) =
    match op.outcome with
    | Returned { result = Balances balances; _ } -> Some (op, wrong balances)
    | Returned { result = Transferred | Refused; _ } | Failed | Unknown -> None
  in
  let reads = List.filter_map read (History.sort history) in
  let bad = List.filter_map (fun (op, why) -> Option.map (fun why -> (op, why)) why) reads in
  let line (op, why) =
    Printf.sprintf "%s: %s" why (History.describe ~operation:pp_operation ~result:pp_result op)
  in
  if bad <> [] then
    Verdict.Invalid
      (Printf.sprintf "%d of %d reads of the bank are wrong:%s" (List.length bad)
         (List.length reads) (Report.lines ~max:4 line bad))
  else if reads = [] then Verdict.Undecided "no read of the bank returned; let a client read"
  else Verdict.Valid
