let () = ignore (Soil_raw_screen.use_screen ())
