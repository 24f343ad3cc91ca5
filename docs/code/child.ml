let keep_alive _connection = Soil.Clock.sleep 60.

[@@@part "shown"]

let connect scope = Soil.File_descriptor.own scope (Soil.Tcp.connect_host ~port:5432 "db.internal")

let run supervisor =
  let database = Soil.Supervisor.add supervisor "database" connect ~run:keep_alive in
  fun query -> Soil.File_descriptor.write_string (Soil.Supervisor.get database) query
