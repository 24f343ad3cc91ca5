(* Random trees of supervisors whose children fail, return and don't start, against a model of the
   rules: which children start and end, in which order. *)
open QCheck2.Gen
open Check
open Supervised

type tree =
  | Child of { name : string; restart : S.restart }
  | Supervisor of {
      name : string;
      restart : S.restart;
      rule : S.rule;
      restarts : int;  (** The limit, for all times. *)
      trees : tree list;
    }

(* To the child of this number. *)
type command = Tell of int * order | Bad_starts of int * int

let gen_restart = frequencyl [ (3, S.Always); (2, S.On_failure); (1, S.Never) ]
let gen_rule = oneofl [ S.One; S.All; S.Rest ]

let rec gen_trees depth path =
  let* n = int_range 1 3 in
  flatten_l (List.init n (fun i -> gen_tree depth (path ^ string_of_int i)))

and gen_tree depth name =
  let* restart = gen_restart in
  let child = return (Child { name; restart }) in
  if depth = 0 then child
  else
    let supervisor =
      let* rule = gen_rule and* restarts = int_bound 3 in
      let+ trees = gen_trees (depth - 1) name in
      Supervisor { name; restart; rule; restarts; trees }
    in
    frequency [ (2, child); (1, supervisor) ]

let gen_command =
  let number = int_bound 50 in
  frequency
    [
      (5, map (fun n -> Tell (n, Fail)) number);
      (2, map (fun n -> Tell (n, Return)) number);
      (2, map2 (fun n times -> Bad_starts (n, times)) number (int_range 1 2));
    ]

let gen =
  let* rule = gen_rule and* restarts = int_bound 6 in
  let* trees = gen_trees 2 "" in
  let+ commands = list_size (int_bound 12) gen_command in
  (rule, restarts, trees, commands)

let rec names = function
  | Child { name; _ } -> [ name ]
  | Supervisor { trees; _ } -> List.concat_map names trees

(* The model *)

type status = Down | Up | Over

type node = { tree : tree; mutable status : status; mutable inner : group option }
and group = { rule : S.rule; mutable left : int; mutable nodes : node list }

exception Model_gave_up

let model (rule, restarts, trees, commands) =
  let say, said = logger () in
  let bad = Hashtbl.create 10 in
  let bad_starts name = Option.value ~default:0 (Hashtbl.find_opt bad name) in
  let rec stop_all group =
    List.iter (fun node -> if node.status = Up then stop node) (List.rev group.nodes)
  and stop node =
    match (node.tree, node.inner) with
    | Supervisor _, Some group -> stop_all group
    | Supervisor _, None -> ()
    | Child { name; _ }, _ -> say ("-" ^ name)
  in
  let again tree = match tree with Child { restart; _ } | Supervisor { restart; _ } -> restart in
  let rec ended group node ~returned =
    node.inner <- None;
    node.status <- Over;
    match again node.tree with
    | Never -> ()
    | On_failure when returned -> ()
    | Always | On_failure ->
        if group.left = 0 then (
          stop_all group;
          raise Model_gave_up);
        group.left <- group.left - 1;
        let rec from = function
          | [] -> []
          | n :: _ as list when n == node -> list
          | _ :: rest -> from rest
        in
        let concerned =
          match group.rule with One -> [ node ] | All -> group.nodes | Rest -> from group.nodes
        in
        let stop_it n =
          if n.status = Up then (
            stop n;
            n.inner <- None;
            n.status <- (if again n.tree = Never then Over else Down))
        in
        List.iter stop_it (List.rev concerned);
        node.status <- Down
  and settle group =
    match List.find_opt (fun n -> n.status = Down) group.nodes with
    | None -> ()
    | Some node ->
        start group node;
        settle group
  and start group node =
    match node.tree with
    | Child { name; _ } when bad_starts name > 0 ->
        Hashtbl.replace bad name (bad_starts name - 1);
        say ("!" ^ name);
        ended group node ~returned:false
    | Child { name; _ } ->
        say ("+" ^ name);
        node.status <- Up
    | Supervisor { rule; restarts; trees; _ } -> (
        let inner = { rule; left = restarts; nodes = [] } in
        node.inner <- Some inner;
        node.status <- Up;
        match fill inner trees with
        | () -> ()
        | exception Model_gave_up -> ended group node ~returned:false)
  and fill group trees =
    List.iter
      (fun tree ->
        group.nodes <- group.nodes @ [ { tree; status = Down; inner = None } ];
        settle group)
      trees
  in
  let rec tell group name order =
    List.iter
      (fun node ->
        if node.status = Up then
          match (node.tree, node.inner) with
          | Child c, _ when c.name = name ->
              say ("-" ^ name);
              ended group node ~returned:(order = Return);
              settle group
          | _, Some inner -> (
              try tell inner name order
              with Model_gave_up ->
                ended group node ~returned:false;
                settle group)
          | _ -> ())
      group.nodes
  in
  let root = { rule; left = restarts; nodes = [] } in
  let all = Array.of_list (List.concat_map names trees) in
  let name n = all.(n mod Array.length all) in
  let is_up name =
    let rec at group =
      List.exists
        (fun node ->
          node.status = Up
          &&
          match (node.tree, node.inner) with
          | Child c, _ -> c.name = name
          | _, Some inner -> at inner
          | _ -> false)
        group.nodes
    in
    at root
  in
  (try
     fill root trees;
     List.iter
       (function
         | Bad_starts (n, times) -> Hashtbl.replace bad (name n) times
         | Tell (n, order) -> if is_up (name n) then tell root (name n) order)
       commands;
     say "stop";
     stop_all root
   with Model_gave_up -> say "gave up");
  said ()

(* The same of the library. *)

let real (rule, restarts, trees, commands) =
  let say, said = logger () in
  let all = Array.of_list (List.map (told say) (List.concat_map names trees)) in
  let find name = List.find (fun t -> t.name = name) (Array.to_list all) in
  let limit restarts = { S.restarts; within = infinity } in
  let rec add_tree s = function
    | Child { name; restart } -> ignore (add ~restart s (find name))
    | Supervisor { name; restart; rule; restarts; trees } ->
        ignore
          (S.add_supervisor ~restart ~rule ~limit:(limit restarts) ~backoff:at_once s name (fun s ->
               List.iter (add_tree s) trees))
  in
  let rec is_up name list =
    List.exists
      (fun (h : S.health) -> (h.name = name && h.state = Ready) || is_up name h.children)
      list
  in
  (try
     run ~rule ~limit:(limit restarts) (fun s ->
         List.iter (add_tree s) trees;
         List.iter
           (function
             | Bad_starts (n, times) -> all.(n mod Array.length all).bad_starts <- times
             | Tell (n, order) ->
                 let t = all.(n mod Array.length all) in
                 if is_up t.name (S.health s) then tell s t order)
           commands;
         say "stop";
         S.stop s)
   with S.Gave_up _ -> say "gave up");
  said ()

let follows_the_model case =
  let expected = model case and got = real case in
  if expected <> got then
    QCheck2.Test.fail_reportf "expected %s@.got      %s" (String.concat " " expected)
      (String.concat " " got)
  else true

let tests =
  [
    property_in_run ~count:1000 "random trees start, end and give up as the model" gen
      follows_the_model;
  ]
