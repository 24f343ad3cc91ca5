let () = ignore (Soil_raw_initrd.use_initrd ())
