let check text wanted =
  let found = Count.to_string (Count.of_input (Soil.Flow.of_string text)) in
  if not (String.equal found wanted) then failwith (String.escaped text ^ ": " ^ found)

let () =
  Soil.run @@ fun () ->
  check "" "      0       0";
  check "one\n" "      1       1";
  check "one  two\n\tthree\n\nlast" "      4       4"
