let () = Soil.Threads.register ()
