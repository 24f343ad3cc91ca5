let check subject result = if result < 0 then Failure.fail ~operation:"embed" ~subject result

let register ~at entries =
  Array.iter (fun (path, contents) -> check path (Soil_raw_files.embed_file path contents)) entries;
  check at (Soil_raw_files.embed_mount at)
