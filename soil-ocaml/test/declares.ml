(* Declares needs in the way that its argument says; needs.t checks what it answers. *)
module Needs = Soil.Needs

let refused what declare =
  match declare () with
  | exception Invalid_argument why -> print_endline (what ^ ": " ^ why)
  | _ -> print_endline (what ^ ": accepted")

let () =
  at_exit (fun () -> print_endline "at_exit");
  match Sys.argv.(1) with
  | "all" ->
      print_string "beginning of a line";
      let data =
        Needs.volume "data" ~at:"/var/data" ~file_systems:[ `Ext4; `Fat ] ~at_least:(Needs.mib 64)
          ~doc:"what \"users\"\\write"
      in
      let raw = Needs.disk "raw" ~at_least:(Needs.kib 4) ~read_only:true ~optional:true in
      let inside = Needs.net "inside" in
      let outside = Needs.net "outside" in
      let http = Needs.port "http" 80 in
      let names = Needs.port "names" ~protocol:`Udp 53 in
      let both = Needs.port "both" ~protocol:`Both 5353 in
      Needs.memory (Needs.mib 8);
      Needs.memory (Needs.mib 4);
      Needs.cpus 1;
      Soil.run @@ fun () ->
      Printf.printf "\n%s %s %s %s %d %d %d\n" data raw inside outside http names both
  | "none" -> Soil.run (fun () -> print_endline "runs")
  | "ends" ->
      let ends = { Needs.status = 2; output = "a\n"; error = "\t\"\\" } in
      Needs.answer ~ends ();
      print_endline "not asked"
  | "refused" ->
      let volume ?at name = Needs.volume ?at name in
      refused "empty" (fun () -> volume "");
      refused "capital" (fun () -> volume "Data");
      refused "long" (fun () -> volume (String.make 21 'a'));
      refused "longest" (fun () -> volume (String.make 20 'a'));
      refused "first" (fun () -> volume "data");
      refused "twice" (fun () -> Needs.disk "data");
      refused "relative" (fun () -> volume "a" ~at:"data");
      refused "up" (fun () -> volume "b" ~at:"/data/..");
      refused "two places" (fun () -> volume "c" ~at:"/data;/x=y");
      refused "lines" (fun () -> Needs.net "g" ~doc:"a\nb");
      refused "negative" (fun () -> Needs.disk "d" ~at_least:(-1));
      refused "port 0" (fun () -> string_of_int (Needs.port "e" 0));
      refused "port 65536" (fun () -> string_of_int (Needs.port "f" 65536));
      refused "no memory" (fun () -> Needs.memory 0);
      refused "no processor" (fun () -> Needs.cpus 0);
      refused "too many" (fun () -> Needs.gib max_int);
      Soil.run @@ fun () ->
      refused "late" (fun () -> volume "late");
      refused "late" (fun () -> Needs.memory 1)
  | _ -> exit 1
