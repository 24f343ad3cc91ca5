(* A cache in memory for Redis's clients. *)
module T = Soil.Task
module Table = Hashtbl.MakeSeeded (String)

exception Refused of string

let refuse reason = raise (Refused ("ERR " ^ reason))
let most_stored = 64 lsl 20 (* bytes *)

(* The values *)

type entry = { mutable value : string; mutable until : int (* ns of the monotonic clock *) }

let never = max_int
let now = Soil.Clock.monotonic_ns

module Due = Set.Make (struct
  type t = int * string

  let compare = compare
end)

let table = Table.create ~random:true 1024
let due = ref Due.empty (* the keys that expire, by their times *)
let stored = ref 0
let cost key value = String.length key + String.length value + 128
let check_room n = if !stored + n > most_stored then raise (Refused "OOM the cache is full")

let reserve n =
  check_room n;
  stored := !stored + n

let set_until key entry until =
  if entry.until <> never then due := Due.remove (entry.until, key) !due;
  if until <> never then due := Due.add (until, key) !due;
  entry.until <- until

let drop key entry =
  set_until key entry never;
  stored := !stored - cost key entry.value;
  Table.remove table key

let find key =
  match Table.find_opt table key with
  | Some e when e.until <> never && e.until <= now () ->
      drop key e;
      None
  | found -> found

let put key value =
  match find key with
  | Some e ->
      reserve (String.length value - String.length e.value);
      e.value <- value;
      e
  | None ->
      reserve (cost key value);
      let e = { value; until = never } in
      Table.add table key e;
      e

let set key value until = set_until key (put key value) until

let rec sweep () =
  (match Due.min_elt_opt !due with
  | Some (until, key) when until <= now () ->
      ignore (find key);
      T.yield ()
  | _ -> Soil.Clock.sleep 0.1);
  sweep ()

(* Commands *)

let not_a_number () = refuse "value is not an integer or out of range"

let number s =
  match int_of_string_opt s with Some n when string_of_int n = s -> n | _ -> not_a_number ()

let second = 1_000_000_000

let after n unit =
  if n > (never - now ()) / unit then refuse "invalid expire time";
  now () + (n * unit)

let rec set_if condition key value until options =
  match options with
  | [] when condition () ->
      set key value until;
      true
  | [] -> false
  | name :: rest -> (
      match (String.uppercase_ascii name, rest) with
      | "NX", _ -> set_if (fun () -> condition () && find key = None) key value until rest
      | "XX", _ -> set_if (fun () -> condition () && find key <> None) key value until rest
      | (("EX" | "PX") as unit), n :: rest when until = never ->
          if number n <= 0 then refuse "invalid expire time in 'set' command";
          let until = after (number n) (if unit = "EX" then second else second / 1000) in
          set_if condition key value until rest
      | _ -> refuse "syntax error")

let increment key =
  let next n =
    if n = Int64.max_int then refuse "increment or decrement would overflow";
    Int64.to_string (Int64.succ n)
  in
  let text = match find key with Some e -> e.value | None -> "0" in
  match Int64.of_string_opt text with
  | Some n when Int64.to_string n = text ->
      let entry = put key (next n) in
      entry.value
  | _ -> not_a_number ()

let expire key seconds =
  let until = if seconds > 0 then after seconds second else never in
  let change e = if seconds > 0 then set_until key e until else drop key e in
  let found = find key in
  Option.iter change found;
  Bool.to_int (found <> None)

let time_left key =
  match find key with
  | None -> -2
  | Some e when e.until = never -> -1
  | Some e -> (e.until - now () + (second / 2)) / second

let count f keys = List.length (List.filter f keys)

let delete key =
  let found = find key in
  Option.iter (drop key) found;
  found <> None

let rec pairs = function key :: value :: rest -> (key, value) :: pairs rest | _ -> []

let set_all pairs =
  check_room (List.fold_left (fun sum (key, value) -> sum + cost key value) 0 pairs);
  List.iter (fun (key, value) -> set key value never) pairs

(* Answers *)

let stored_value w = function Some e -> Resp.bulk w e.value | None -> Resp.null w

let rec run w name words =
  match (name, words) with
  | "GET", [ key ] -> stored_value w (find key)
  | "SET", [ key; value ] ->
      set key value never;
      Resp.ok w
  | "SET", key :: value :: options ->
      if set_if (fun () -> true) key value never options then Resp.ok w else Resp.null w
  | "MGET", (_ :: _ as keys) -> Resp.array w (fun w key -> stored_value w (find key)) keys
  | "MSET", (_ :: _ as words) when List.length words mod 2 = 0 ->
      set_all (pairs words);
      Resp.ok w
  | "DEL", (_ :: _ as keys) -> Resp.integer w (count delete keys)
  | "EXISTS", (_ :: _ as keys) -> Resp.integer w (count (fun key -> find key <> None) keys)
  | "INCR", [ key ] -> Resp.simple w ':' (increment key)
  | "EXPIRE", [ key; seconds ] -> Resp.integer w (expire key (number seconds))
  | "TTL", [ key ] -> Resp.integer w (time_left key)
  | "DBSIZE", [] -> Resp.integer w (Table.length table)
  | "FLUSHALL", ([] | [ _ ]) ->
      Table.reset table;
      due := Due.empty;
      stored := 0;
      Resp.ok w
  | "PING", [] -> Resp.simple w '+' "PONG"
  | ("PING" | "ECHO"), [ text ] -> Resp.bulk w text
  | "SELECT", [ "0" ] -> Resp.ok w
  | "COMMAND", _ -> Resp.array w Resp.bulk []
  | "CONFIG", _ :: keys -> Resp.array w Resp.bulk (List.concat_map (fun key -> [ key; "" ]) keys)
  | "QUIT", _ ->
      Resp.ok w;
      raise Exit
  | _ ->
      let upper = String.uppercase_ascii name in
      if upper <> name then run w upper words
      else
        let shown = String.sub name 0 (min 40 (String.length name)) in
        refuse ("unknown command '" ^ shown ^ "', or wrong number of arguments for it")

let answer w name words = try run w name words with Refused reason -> Resp.error w reason
let () = Soil.Needs.memory (Soil.Needs.mib 512)

let port =
  Soil.Needs.port "cache" (if Array.length Sys.argv > 1 then int_of_string Sys.argv.(1) else 6379)

let () =
  Soil.run @@ fun () ->
  T.scope @@ fun scope ->
  ignore (T.spawn_daemon scope sweep);
  let listener = Soil.Tcp.listen ~port () in
  print_endline ("listening on " ^ Soil.Net.Endpoint.to_string (Soil.Tcp.local listener));
  Soil.Tcp.serve ~max_connections:256 listener (Resp.serve answer)
