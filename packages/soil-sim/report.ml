type verdict =
  | Passed
  | Failed of { check : string; message : string }
  | Nondeterministic of { check : string; message : string }
  | Error of string

type fault = { id : int; name : string; what : string; at : int }

type t = {
  seed : int;
  verdict : verdict;
  hash : string;
  virtual_ns : int;
  events : int;
  faults : fault list;
  declared : string list;
  strikes : (string * int list) list;
  operations : World.operations;
  sometimes : (string * int) list;
}

let quote = Events.quote
let list f l = String.concat "," (List.map f l)
let number (name, n) = Printf.sprintf "%s:%d" (quote name) n

let words = function
  | Passed -> ("passed", "", "")
  | Failed { check; message } -> ("failed", check, message)
  | Nondeterministic { check; message } -> ("nondeterministic", check, message)
  | Error message -> ("error", "", message)

let covered r =
  let begun name = List.length (List.filter (fun fault -> fault.name = name) r.faults) in
  let count name =
    Option.fold (List.assoc_opt name r.strikes) ~none:(begun name) ~some:List.length
  in
  List.map (fun name -> (name, count name)) (List.sort_uniq compare r.declared)

(* The number of faults that struck, and of those that did so after the last operation. *)
let struck r =
  let is_delayed fault = List.mem_assoc fault.name r.strikes in
  let at_once = List.filter (fun fault -> not (is_delayed fault)) r.faults in
  let times = List.map (fun fault -> fault.at) at_once @ List.concat_map snd r.strikes in
  (List.length times, List.length (List.filter (fun time -> time > r.operations.last) times))

let to_json r =
  let verdict, check, message = words r.verdict in
  let fault { id; name; what; at } =
    Printf.sprintf "{\"id\":%d,\"name\":%s,\"what\":%s,\"at\":%d}" id (quote name) (quote what) at
  in
  let workload =
    let { World.begun; returned; last; _ } = r.operations and faults, late = struck r in
    if begun = 0 then ""
    else
      Printf.sprintf
        "\"workload\":{\"operations\":%d,\"returned\":%d,\"last\":%d,\"faults\":%d,\"late\":%d},"
        begun returned last faults late
  in
  String.concat ""
    [
      Printf.sprintf "{\"seed\":%d,\"verdict\":%s,\"check\":%s,\"message\":%s," r.seed
        (quote verdict) (quote check) (quote message);
      Printf.sprintf "\"hash\":%s,\"virtual_ns\":%d,\"events\":%d,\"operations\":%d," (quote r.hash)
        r.virtual_ns r.events r.operations.most;
      workload;
      Printf.sprintf "\"faults\":[%s],\"covered\":{%s},\"sometimes\":{%s}}" (list fault r.faults)
        (list number (covered r))
        (list number r.sometimes);
    ]

let seconds ns = Printf.sprintf "%.3f s" (float ns /. 1e9)

let to_text r =
  let verdict, check, message = words r.verdict in
  let fault f = Printf.sprintf "  %d: %s %s at %s\n" f.id f.name f.what (seconds f.at) in
  let workload =
    let { World.begun; returned; last; _ } = r.operations and faults, late = struck r in
    if begun = 0 then ""
    else
      Printf.sprintf
        "  %d operations, %d with a result, the last at %s; %d of %d faults struck after it\n" begun
        returned (seconds last) late faults
  in
  let seen (name, times) = if times = 0 then Printf.sprintf "  never seen: %s\n" name else "" in
  String.concat ""
    ([
       Printf.sprintf "seed %d: %s%s\n" r.seed verdict
         (match (check, message) with
         | "", "" -> ""
         | "", message -> ": " ^ message
         | check, message -> Printf.sprintf ": %s: %s" check message);
       Printf.sprintf "  %s of virtual time, %d events, hash %s\n" (seconds r.virtual_ns) r.events
         r.hash;
       workload;
     ]
    @ List.map fault r.faults @ List.map seen r.sometimes)

let status r =
  match r.verdict with Passed -> 0 | Failed _ | Nondeterministic _ -> 1 | Error _ -> 2
