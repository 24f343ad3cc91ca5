let operation = "wait for a file descriptor"

let rec await direction fd =
  let submit token = Soil_raw.system_descriptor_await fd direction token in
  let result = Scheduler.operation ~operation ~subject:(string_of_int fd) submit in
  if result = 0 then await direction fd

let await_readable fd = await Soil_raw.park_read fd
let await_writable fd = await Soil_raw.park_write fd
