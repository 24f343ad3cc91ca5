type guarantee = Monotonic_reads | Read_your_writes | Monotonic_writes | Writes_follow_reads

let name = function
  | Monotonic_reads -> "monotonic reads"
  | Read_your_writes -> "read your writes"
  | Monotonic_writes -> "monotonic writes"
  | Writes_follow_reads -> "writes follow reads"

let between (earlier : Accesses.access) (later : Accesses.access) =
  match (earlier.is_write, later.is_write) with
  | false, false -> Monotonic_reads
  | true, false -> Read_your_writes
  | true, true -> Monotonic_writes
  | false, true -> Writes_follow_reads

(* The versions as numbers: the index of the write, or of the first access to the key after the
   number of accesses for the version before the first write. *)
let versions ({ accesses; source } : Accesses.t) =
  let first = Hashtbl.create 16 in
  let initial i (access : Accesses.access) =
    if not (Hashtbl.mem first access.key) then Hashtbl.add first access.key i;
    Array.length accesses + Hashtbl.find first access.key
  in
  let initials = Array.mapi initial accesses in
  let version i (access : Accesses.access) =
    if access.is_write then i else Option.value ~default:initials.(i) source.(i)
  in
  (initials, Array.mapi version accesses)

let check
    ?(guarantees = [ Monotonic_reads; Read_your_writes; Monotonic_writes; Writes_follow_reads ])
    history =
  match Accesses.of_history ~checker:"Monotonic" history with
  | Error why -> Verdict.Invalid why
  | Ok ({ accesses; _ } as history) -> (
      let initials, versions = versions history in
      let graph = Graph.create (2 * Array.length accesses) in
      let reasons = Hashtbl.create 64 in
      let order older newer reason =
        if not (Hashtbl.mem reasons (older, newer)) then (
          Hashtbl.add reasons (older, newer) reason;
          Graph.add graph older newer)
      in
      (* The accesses of each client to each key that differ in version or kind. *)
      let sessions = Hashtbl.create 64 in
      let add i (access : Accesses.access) =
        let session = (access.op.client, access.key) in
        let earlier = Option.value ~default:[] (Hashtbl.find_opt sessions session) in
        let follow j =
          let guarantee = between accesses.(j) access in
          if versions.(j) <> versions.(i) && List.mem guarantee guarantees then
            order versions.(j) versions.(i) (Some (guarantee, j, i))
        in
        List.iter follow earlier;
        let is_same j = versions.(j) = versions.(i) && accesses.(j).is_write = access.is_write in
        if access.is_certain && not (List.exists is_same earlier) then
          Hashtbl.replace sessions session (i :: earlier);
        if access.is_write then order initials.(i) i None
      in
      Array.iteri add accesses;
      match Graph.cycle graph with
      | None -> Verdict.Valid
      | Some nodes ->
          let next = List.tl nodes @ [ List.hd nodes ] in
          let reason older newer = Hashtbl.find reasons (older, newer) in
          let line (guarantee, i, j) =
            Printf.sprintf "%s: %s, then %s" (name guarantee)
              (Accesses.describe accesses.(i))
              (Accesses.describe accesses.(j))
          in
          let reasons = List.filter_map Fun.id (List.map2 reason nodes next) in
          Verdict.Invalid
            ("a client went back to an older version; no order of versions agrees with:"
           ^ Report.lines line reasons))
