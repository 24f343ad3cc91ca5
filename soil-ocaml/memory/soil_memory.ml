let () = ignore (Soil_raw_memory.use_memory ())
