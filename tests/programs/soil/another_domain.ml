(* What Soil answers in another domain than the first: it refuses, the same in every form. *)

let refused =
  "Soil: called from another domain than the program's first one and those of Soil.Domain.run"

let answer f =
  match f () with
  | () -> "done"
  | exception Invalid_argument text when text = refused -> "refused"
  | exception e -> Printexc.to_string e

let calls r w =
  [
    ("Random.int", fun () -> ignore (Soil.Random.int 5));
    ("Random.string", fun () -> ignore (Soil.Random.string 5));
    ("Tcp.listen", fun () -> Soil.File_descriptor.close (Soil.Tcp.listen ~port:0 ()));
    ("Udp.bind", fun () -> Soil.File_descriptor.close (Soil.Udp.bind ~port:0 ()));
    ("Net.interfaces", fun () -> ignore (Soil.Net.interfaces ()));
    ("pipe", fun () -> ignore (Soil.pipe ()));
    ("read", fun () -> ignore (Soil.File_descriptor.read r (Bytes.create 1) 0 1));
    ("write", fun () -> Soil.File_descriptor.write_string w "x");
    ("shutdown", fun () -> Soil.File_descriptor.shutdown w `Send);
    ("close", fun () -> Soil.File_descriptor.close w);
    ("Clock.now", fun () -> if Soil.Clock.now () <= 0. then failwith "no time");
  ]

let () =
  Soil.run @@ fun () ->
  let r, w = Soil.pipe () in
  let answers =
    Domain.join
      (Domain.spawn (fun () -> List.map (fun (name, f) -> name ^ ": " ^ answer f) (calls r w)))
  in
  List.iter print_endline answers;
  print_endline ("Random.int in the first: " ^ answer (fun () -> ignore (Soil.Random.int 5)));
  Soil.File_descriptor.write_string w "whole";
  Soil.File_descriptor.close w;
  print_endline ("the pipe is " ^ Soil.File_descriptor.read_all r)
