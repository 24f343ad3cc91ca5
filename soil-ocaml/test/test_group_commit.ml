(* Group commit against a model of a disk: a sync makes durable what was changed before it began. *)
module T = Soil.Task

type disk = { mutable written : int list; mutable durable : int list; mutable syncs : int }
type sync = Succeeds | Fails

let failed () = Soil.Error.fail Soil.Error.Io "sync" ~subject:"disk" ~detail:""

(* Its [n]-th sync takes up to 6 turns, and an end of [ends]. *)
let sync disk ends () =
  let n = disk.syncs in
  disk.syncs <- n + 1;
  let covered = disk.written in
  for _ = 1 to 3 * (n mod 3) do
    T.yield ()
  done;
  match ends.(n mod Array.length ends) with
  | Succeeds -> disk.durable <- covered @ disk.durable
  | Fails ->
      (* As in Linux: what this sync covered counts as clean for the next one. *)
      disk.written <- List.filter (fun change -> not (List.mem change covered)) disk.written;
      failed ()

(* Each task makes its changes and commits each, some in a task that is cancelled after so many
   turns. *)
let runs (tasks, ends) =
  let disk = { written = []; durable = []; syncs = 0 } in
  let ends = Array.of_list (Succeeds :: ends) in
  let group = Group_commit.create () in
  let changes = ref 0 and lost = ref 0 in
  let change () =
    Group_commit.member group @@ fun () ->
    incr changes;
    let own = !changes in
    disk.written <- own :: disk.written;
    match Group_commit.commit group (sync disk ends) with
    | () -> if not (List.mem own disk.durable) then incr lost
    | exception Soil.Error { code = Io; _ } -> ()
  in
  let rec turns n =
    if n > 0 then (
      T.yield ();
      turns (n - 1))
  in
  let cancelled n =
    T.scope @@ fun scope ->
    let task = T.spawn scope change in
    turns n;
    T.cancel task
  in
  let task steps () = List.iter (function None -> change () | Some n -> cancelled n) steps in
  Soil.run (fun () -> ignore (T.all (List.map task tasks)));
  !lost = 0

let model =
  let open QCheck2 in
  let step = Gen.(option ~ratio:0.4 (int_bound 30)) in
  let tasks = Gen.(list_size (int_range 1 6) (list_size (int_bound 5) step)) in
  let ends = Gen.(list_size (int_bound 4) (frequency [ (3, pure Succeeds); (1, pure Fails) ])) in
  let print (tasks, ends) =
    let step = function None -> "change" | Some n -> Printf.sprintf "cancelled after %d" n in
    let ends = List.map (function Succeeds -> "succeeds" | Fails -> "fails") ends in
    let tasks = List.map (fun steps -> String.concat ", " (List.map step steps)) tasks in
    String.concat "; " tasks ^ " | " ^ String.concat ", " ends
  in
  Test.make ~count:2000 ~name:"model" ~print (Gen.pair tasks ends) runs

let shared () =
  let disk = { written = []; durable = []; syncs = 0 } in
  let group = Group_commit.create () in
  let change own =
    Group_commit.member group @@ fun () ->
    disk.written <- own :: disk.written;
    T.yield ();
    Group_commit.commit group (sync disk [| Succeeds |])
  in
  Soil.run (fun () -> T.iter change (List.init 64 Fun.id));
  Alcotest.(check int) "syncs" 1 disk.syncs;
  Alcotest.(check int) "durable" 64 (List.length disk.durable)

let tests =
  [
    Alcotest.test_case "64 changes in a sync" `Quick shared;
    Alcotest.test_case "a model" `Quick (fun () -> QCheck2.Test.check_exn model);
  ]
