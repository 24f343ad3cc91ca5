let () = ignore (Soil_raw_ext4.use_ext4 ())
