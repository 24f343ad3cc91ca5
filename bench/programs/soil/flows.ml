(* What a call costs on a plain descriptor (a pipe), and through a flow of the program's own over it:
   flows.exe plain|flow io|lines|copy COUNT. bench/flows.py counts the instructions. *)

module D = Soil.File_descriptor
module Flow = Soil.Flow

let small = Bytes.make 1024 'x'
let large = Bytes.make 65536 'x'
let lines = String.concat "" (List.init 32 (Printf.sprintf "line %26d\n"))

(* A kilobyte written, and read. *)
let io ~source ~sink =
  let r, w = Soil.pipe () in
  let r = source r and w = sink w and b = Bytes.create 1024 in
  fun () ->
    D.write w small 0 1024;
    if D.read r b 0 1024 < 1024 then failwith "short"

(* 32 lines, each by a call of [Reader.line]. *)
let read_lines ~source =
  let r, w = Soil.pipe () in
  let reader = Soil.Reader.create (source r) in
  fun () ->
    D.write_string w lines;
    for _ = 1 to 32 do
      ignore (Soil.Reader.line reader)
    done

(* 64 KiB from one pipe to another. *)
let copy ~source ~sink () =
  let r, w = Soil.pipe () and r', w' = Soil.pipe () in
  D.write w large 0 65536;
  D.close w;
  if D.copy ~src:(source r) ~dst:(sink w') () < 65536 then failwith "short";
  List.iter D.close [ (r :> D.source); (r' :> D.source) ];
  D.close w'

let plain_source r = (r :> D.source)
let plain_sink w = (w :> D.sink)
let flow_source r = (Flow.source ~read_into:(D.read_into r) (D.read r) :> D.source)

let flow_sink w =
  let write_from b off len =
    D.write_from w b off len;
    len
  in
  (Flow.sink ~write_from (D.write_some w) :> D.sink)

let () =
  let source, sink =
    match Sys.argv.(1) with "plain" -> (plain_source, plain_sink) | _ -> (flow_source, flow_sink)
  in
  let step =
    match Sys.argv.(2) with
    | "io" -> io ~source ~sink
    | "lines" -> read_lines ~source
    | _ -> copy ~source ~sink
  in
  for _ = 1 to int_of_string Sys.argv.(3) do
    step ()
  done
