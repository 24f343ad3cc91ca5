(* Tasks of domains that append to files of one volume and sync each time. Arguments: domains, tasks
   in each, rounds, folder. *)

module D = Soil.Domain
module Fs = Soil.Fs

let () =
  let number n = int_of_string Sys.argv.(n) in
  let domains = number 1 and tasks = number 2 and rounds = number 3 and folder = Sys.argv.(4) in
  let path i = Printf.sprintf "%s/%d" folder i in
  let line i round = Printf.sprintf "%d in round %d\n" i round in
  let work i =
    Fs.with_file ~mode:Fs.Create (path i) @@ fun file ->
    for round = 1 to rounds do
      Soil.File_descriptor.write_string file (line i round);
      Fs.sync file
    done
  in
  let is_right i =
    Fs.read_file (path i) = String.concat "" (List.init rounds (fun n -> line i (n + 1)))
  in
  D.run ~domains @@ fun () ->
  D.each (fun domain ->
      Soil.Task.iter (fun k -> work ((domain * tasks) + k)) (List.init tasks Fun.id));
  let files = domains * tasks in
  Printf.printf "%d files, %b\n%!" files (List.for_all is_right (List.init files Fun.id))
