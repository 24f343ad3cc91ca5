let within timeout f = match timeout with None -> f () | Some s -> Task.timeout s f
