let answer connection =
  let lines = Soil.Reader.create connection in
  let one line =
    Soil.File_descriptor.write_string connection (string_of_int (String.length line) ^ "\n")
  in
  Seq.iter one (Soil.Reader.Text.lines ~max:1000 lines)
