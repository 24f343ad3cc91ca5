(* Random work on whole volumes, each beside the others and by several tasks, against a model.

   Arguments: SEED ROUNDS STEPS FLAGS TYPE:DISK…; FLAGS are "-" or, with commas between them, "fill"
   (fill each volume in the first round) and "crowd=N" (directories that grow to N names). Each volume
   is mounted, compared with itself as it was, worked on and compared in each round, and unmounted. A
   line "NAME file DIGEST NAMES PATH" (or directory, or link) for every entry, for checks from
   outside; "NAME was DIGEST" and "NAME is DIGEST" of all these lines, before and after.

   A difference from the model is a line with seed, volume, task and step, and status 1. *)

open Torture_model
module Fs = Soil.Fs
module Task = Soil.Task
module Work = Torture_work
module Model = Tree_model

type flags = { filling_round : bool; crowded : int }

let tasks = 3

let describe v members =
  let lines = ref [] in
  let links = not v.fat in
  List.iter
    (fun t ->
      let at = "/" ^ Filename.basename t.root in
      Model.describe t.model ~links at t.model.root (fun line -> lines := line :: !lines))
    members;
  List.rev !lines

let digest lines = Digest.to_hex (Digest.string (String.concat "\n" lines))
let mount v = Fs.mount v.source v.point

let work flags rounds steps source =
  let disk = List.nth (String.split_on_char ':' source) 1 in
  let fat = String.starts_with ~prefix:"fat" source in
  let v = { point = "/" ^ disk; fat; source; filling = false; filled = 0 } in
  mount v;
  let { Fs.total; _ } : Fs.space = Fs.space v.point in
  let member n =
    let root = Printf.sprintf "%s/task %d" v.point n in
    if not (Fs.exists root) then Fs.mkdir root;
    let t =
      {
        volume = v;
        root;
        random = Random.State.make [| !seed; n; Hashtbl.hash disk |];
        budget = total / (4 * tasks);
        model = Model.empty;
        opened = [];
        step = 0;
        doing = "start";
        stopped = 0;
      }
    in
    load t;
    t
  in
  let members = List.init tasks member in
  Printf.printf "%s was %s\n%!" disk (digest (describe v members));
  for round = 1 to rounds do
    let guarded f t = try f t with Soil.Error e -> mismatch t "%s" (Soil.Error.to_string e) in
    let run t =
      let first = t == List.hd members in
      if first && flags.filling_round && round = 1 then Work.fill t;
      let last = t.step + steps in
      while t.step < last do
        Work.step t
      done;
      if (not first) && flags.crowded > 0 && round = rounds then Work.crowd t flags.crowded;
      t.doing <- "end of a round";
      List.iter (fun o -> check_descriptor t (D.name o.descriptor) o.descriptor o.number) t.opened;
      List.iter (Work.close t) t.opened
    in
    Task.iter (guarded run) members;
    let check =
      guarded @@ fun t ->
      t.doing <- Printf.sprintf "check after round %d" round;
      check_all t []
    in
    if round land 1 = 0 then Task.iter check members;
    Fs.unmount v.point;
    mount v;
    Task.iter check members
  done;
  let lines = describe v members in
  List.iter (fun line -> Printf.printf "%s %s\n" disk line) lines;
  Printf.printf "%s is %s, cancelled %d\n%!" disk (digest lines)
    (List.fold_left (fun sum t -> sum + t.stopped) 0 members);
  (match Fs.volume v.point with
  | { health = Writable; _ } -> ()
  | _ -> raise (Mismatch (v.point ^ " isn't writable any more")));
  Fs.unmount v.point

let flags_of text =
  let words = String.split_on_char ',' text in
  let crowded = List.find_map (fun word -> Scanf.sscanf_opt word "crowd=%d" Fun.id) words in
  { filling_round = List.mem "fill" words; crowded = Option.value crowded ~default:0 }

let () =
  match Array.to_list Sys.argv with
  | _ :: number :: rounds :: steps :: flags :: (_ :: _ as sources) -> (
      seed := int_of_string number;
      let rounds = int_of_string rounds and steps = int_of_string steps in
      match Soil.run (fun () -> Task.iter (work (flags_of flags) rounds steps) sources) with
      | () -> Printf.printf "done %d\n%!" !operations
      | exception Mismatch text ->
          Printf.printf "mismatch: %s\n%!" text;
          exit 1)
  | _ -> failwith "SEED ROUNDS STEPS FLAGS TYPE:DISK…"
