let int = Alcotest.(check int)
let string = Alcotest.(check string)
let test name f = Alcotest.test_case name `Quick f

(* A part of a buffer, to see that offsets count. *)
let part text = Cstruct.sub (Cstruct.of_string ("<" ^ text ^ ">")) 1 (String.length text)
let empty n = Cstruct.sub (Cstruct.of_string (String.make (n + 2) '.')) 1 n

let descriptors () =
  let r, w = Soil.pipe () in
  Soil_cstruct.write w (part "hello");
  Soil_cstruct.writev w [ part " "; part "world" ];
  Soil.File_descriptor.close w;
  let c = empty 8 in
  int "read" 8 (Soil_cstruct.read r c);
  string "bytes" "hello wo" (Cstruct.to_string c);
  let c = empty 3 in
  Soil_cstruct.really_read r c;
  string "the rest" "rld" (Cstruct.to_string c);
  int "end" 0 (Soil_cstruct.read r c);
  match Soil_cstruct.really_read r c with
  | () -> Alcotest.fail "no end of file"
  | exception End_of_file -> ()

let buffered () =
  let b = Buffer.create 10 in
  Soil.Writer.with_ (Soil.Flow.to_buffer b) (fun w -> Soil_cstruct.output w (part "text"));
  string "written" "text" (Buffer.contents b);
  let c = empty 3 in
  int "input" 3 (Soil_cstruct.input (Soil.Reader.Text.of_string "text") c);
  string "bytes" "tex" (Cstruct.to_string c)

let files () =
  Soil.Fs.with_file ~mode:Create "/memory/file" @@ fun file ->
  Soil_cstruct.pwrite file ~position:2 (part "data");
  let c = empty 9 in
  int "bytes" 6 (Soil_cstruct.pread file ~position:0 c);
  string "a gap" "\000\000data..." (Cstruct.to_string c);
  match
    Soil.In_place.with_lease file ~position:2 2 (fun b ->
        Cstruct.to_string (Soil_cstruct.of_buffer b))
  with
  | Some s -> string "in place" "da" s
  | None -> Alcotest.fail "no lease"

let () =
  Alcotest.run "cstruct"
    [
      ("buffers", [ test "descriptors" descriptors; test "buffered" buffered; test "files" files ]);
    ]
