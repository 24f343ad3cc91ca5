type 'r outcome = Returned of { at : int; result : 'r } | Failed | Unknown
type ('o, 'r) operation = { client : int; operation : 'o; invoked : int; outcome : 'r outcome }
type ('o, 'r) t = ('o, 'r) operation list

let sort operations = List.stable_sort (fun a b -> Int.compare a.invoked b.invoked) operations

let precedes a b =
  match a.outcome with
  | Returned { at; _ } ->
      at < b.invoked || (at = b.invoked && a.client = b.client && a.invoked < b.invoked)
  | Failed | Unknown -> false

let seconds ns = Printf.sprintf "%d.%09d" (ns / 1_000_000_000) (ns mod 1_000_000_000)

let describe ~operation ~result { client; operation = o; invoked; outcome } =
  let until, end_ =
    match outcome with
    | Returned { at; result = r } -> ("-" ^ seconds at, result r)
    | Failed -> ("", "failed")
    | Unknown -> ("-", "unknown")
  in
  Printf.sprintf "client %d, %s%s s: %s -> %s" client (seconds invoked) until (operation o) end_
