type variant = Weak | Convergent | Memory

exception Bad of string

let bad fmt = Printf.ksprintf (fun why -> raise_notrace (Bad why)) fmt
let lines ({ accesses; _ } : Accesses.t) = Report.lines (fun i -> Accesses.describe accesses.(i))

let forbid_cycle history graph what =
  match Graph.cycle graph with None -> () | Some nodes -> bad "%s:%s" what (lines history nodes)

(* The last operation of each client, and the steps of the causal order. A client's operations come
   after the previous one that returned. *)
let steps ({ accesses; source } : Accesses.t) =
  let last = Hashtbl.create 16 in
  let edges = ref [] in
  let add i (access : Accesses.access) =
    let client = access.op.client in
    Option.iter (fun j -> edges := (j, i) :: !edges) (Hashtbl.find_opt last client);
    Option.iter (fun write -> edges := (write, i) :: !edges) source.(i);
    if access.is_certain then Hashtbl.replace last client i
  in
  Array.iteri add accesses;
  (List.sort Int.compare (Hashtbl.fold (fun _ i ends -> i :: ends) last []), !edges)

let graph_of ({ accesses; _ } : Accesses.t) edges =
  let graph = Graph.create (Array.length accesses) in
  List.iter (fun (u, v) -> Graph.add graph u v) edges;
  graph

(* Calls [f read write] for each read, and each write to its key other than the read's source. *)
let iter_others ({ accesses; source } : Accesses.t) f =
  let writes = Hashtbl.create 16 in
  let add i (access : Accesses.access) =
    if access.is_write then
      Hashtbl.replace writes access.key
        (i :: Option.value ~default:[] (Hashtbl.find_opt writes access.key))
  in
  Array.iteri add accesses;
  let of_read i (access : Accesses.access) =
    if not access.is_write then
      Option.value ~default:[] (Hashtbl.find_opt writes access.key)
      |> List.rev
      |> List.iter (fun write -> if source.(i) <> Some write then f i write)
  in
  Array.iteri of_read accesses

(* The patterns WriteCOInitRead and WriteCORead. *)
let forbid_overwritten history before =
  let source = history.Accesses.source in
  iter_others history @@ fun read write ->
  if before write read then
    match source.(read) with
    | None -> bad "a read without a value after a write:%s" (lines history [ write; read ])
    | Some old when before old write ->
        bad "a read of an overwritten value; writes, then the read:%s"
          (lines history [ old; write; read ])
    | Some _ -> ()

(* The pattern CyclicCF. *)
let forbid_conflicts history edges before =
  let conflicts = ref [] in
  iter_others history (fun read write ->
      match history.Accesses.source.(read) with
      | Some source when before write read -> conflicts := (write, source) :: !conflicts
      | Some _ | None -> ());
  forbid_cycle history
    (graph_of history (!conflicts @ edges))
    "no order of the writes explains all reads; each of these comes before the next"

(* The patterns CyclicHB and WriteHBInitRead, for the last operation of a client: the writes that
   the client's reads imply to be overwritten come first. Operations outside of its causal past
   don't change the result: no path leads from them into it. *)
let forbid_disorder history edges last =
  let accesses = history.Accesses.accesses in
  let client = accesses.(last).op.client in
  let explain = Printf.sprintf "no order of the writes explains the reads of client %d" client in
  let rec extend edges =
    let graph = graph_of history edges in
    forbid_cycle history graph (explain ^ "; each of these comes before the next");
    let before = Graph.closure graph in
    let implied = ref [] in
    iter_others history (fun read write ->
        if accesses.(read).op.client = client && before write read then
          match history.Accesses.source.(read) with
          | None ->
              bad "%s; one has no value after a write:%s" explain (lines history [ write; read ])
          | Some source when before write source -> ()
          | Some source -> implied := (write, source) :: !implied);
    if !implied <> [] then extend (List.sort_uniq compare !implied @ edges)
  in
  extend edges

let check ?(variant = Weak) history =
  match Accesses.of_history ~checker:"Causal" history with
  | Error why -> Verdict.Invalid why
  | Ok history -> (
      let lasts, edges = steps history in
      let graph = graph_of history edges in
      try
        forbid_cycle history graph "operations that depend on themselves";
        let before = Graph.closure graph in
        forbid_overwritten history before;
        (match variant with
        | Weak -> ()
        | Convergent -> forbid_conflicts history edges before
        | Memory -> List.iter (forbid_disorder history edges) lasts);
        Verdict.Valid
      with Bad why -> Verdict.Invalid ("not causally consistent: " ^ why))
