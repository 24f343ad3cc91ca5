(* Declares the needs that its arguments name, and then uses them. *)
module Needs = Soil.Needs

let file_system = function
  | "fat" -> `Fat
  | "ext4" -> `Ext4
  | "tar" -> `Tar
  | "memory" -> `Memory
  | "host" -> `Host
  | other -> failwith other

let file_systems words =
  List.map file_system (List.filter (( <> ) "") (String.split_on_char '+' words))

(* The use of each, in order. *)
let uses = ref []
let use f = uses := f :: !uses

let volume ?read_only ?optional ?at name kinds at_least =
  let at_least = int_of_string at_least and doc = "files \"of\" " ^ name in
  let folder =
    Needs.volume name ?at ~file_systems:(file_systems kinds) ~at_least ?read_only ?optional ~doc
  in
  use (fun () ->
      match Soil.Fs.list folder with
      | entries -> Printf.printf "%s: %d entries\n" folder (List.length entries)
      | exception Soil.Error e -> print_endline (Soil.Error.to_string e))

let port ?protocol name number =
  let port = Needs.port ?protocol name (int_of_string number) in
  use (fun () -> Printf.printf "port %d\n" port)

let serve number =
  let port = Needs.port "greeting" (int_of_string number) in
  use (fun () ->
      let listener = Soil.Tcp.listen ~port () in
      Soil.Net.wait_up ();
      print_endline "ready";
      let connection = Soil.Tcp.accept listener in
      ignore (Soil.File_descriptor.copy ~src:connection ~dst:connection ());
      Soil.File_descriptor.close connection)

let display ?at_least ?optional name =
  let display = Needs.display ?at_least ?optional ~doc:"a picture" name in
  use (fun () ->
      match Soil_display.with_display ~name:display Soil_display.state with
      | { width; height; _ } -> Printf.printf "%s: %dx%d\n" display width height
      | exception Soil.Error e -> print_endline (Soil.Error.to_string e))

let declare word =
  match String.split_on_char ':' word with
  | [ "volume"; name; kinds; at_least ] -> volume name kinds at_least
  | [ "volume"; name; kinds; at_least; "ro" ] -> volume ~read_only:true name kinds at_least
  | [ "volume"; name; kinds; at_least; "optional" ] -> volume ~optional:true name kinds at_least
  | [ "volume"; name; kinds; at_least; "at"; at ] -> volume ~at name kinds at_least
  | [ "disk"; name; at_least ] ->
      let disk = Needs.disk name ~at_least:(int_of_string at_least) in
      use (fun () ->
          Soil.Block.with_disk disk @@ fun d -> Printf.printf "%d sectors\n" (Soil.Block.sectors d))
  | [ "net"; name ] ->
      let interface = Needs.net name in
      use (fun () -> print_endline interface)
  | [ "tcp"; name; number ] -> port name number
  | [ "udp"; name; number ] -> port ~protocol:`Udp name number
  | [ "both"; name; number ] -> port ~protocol:`Both name number
  | [ "serve"; number ] -> serve number
  | [ "display"; name ] -> display name
  | [ "display"; name; "optional" ] -> display ~optional:true name
  | [ "display"; name; width; height ] ->
      display ~at_least:(int_of_string width, int_of_string height) name
  | [ "input" ] ->
      Needs.input ();
      use (fun () ->
          Soil_input.with_devices @@ fun input ->
          Printf.printf "%d devices\n" (List.length (Soil_input.devices input)))
  | [ "memory"; mib ] ->
      Needs.memory (Needs.mib (int_of_string mib));
      use (fun () ->
          let total = (Soil.Machine.memory ()).total in
          print_endline
            (if (not Soil.on_vm) || total >= Needs.mib (int_of_string mib) * 9 / 10 then "enough"
             else "too little"))
  | [ "cpus"; n ] ->
      let n = int_of_string n in
      Needs.cpus n;
      if n > 1 then use (fun () -> Domain.join (Domain.spawn ignore))
  | [ "say"; text ] -> print_string text
  | [ "ends"; status ] ->
      let ends = { Needs.status = int_of_string status; output = "out\n"; error = "err\n" } in
      Needs.answer ~ends ();
      exit 99
  | [ "raise" ] -> failwith "not yet"
  | [ "exit"; status ] -> exit (int_of_string status)
  | [ "forever" ] ->
      while true do
        Sys.opaque_identity ()
      done
  | [ "flood" ] ->
      while true do
        print_endline (String.make 1000 'x')
      done
  | "forge" :: text ->
      print_endline ("\030{\"soil_needs\":1," ^ String.concat ":" text ^ "}");
      exit 0
  | _ -> failwith word

let () =
  List.iter declare (List.tl (Array.to_list Sys.argv));
  Soil.run @@ fun () ->
  print_endline "runs";
  List.iter (fun use -> use ()) (List.rev !uses)
