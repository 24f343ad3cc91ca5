let beside kind n compute serve =
  Soil.Task.scope @@ fun scope ->
  let run =
    if kind = "pool" then Soil_pool.submit (Soil_pool.create ~workers:n scope)
    else Soil_threads.blocking
  in
  for _ = 1 to n do
    ignore (Soil.Task.spawn scope (fun () -> run compute))
  done;
  serve ()
