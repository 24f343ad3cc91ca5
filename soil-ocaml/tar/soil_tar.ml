let () = ignore (Soil_raw_tar.use_tar ())
