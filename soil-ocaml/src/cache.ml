type t = { hits : int; misses : int; dirty : int; read_ahead : int }
type memory = { used : int; limit : int }

let statistics point =
  let record = Scheduler.create_ints Soil_raw.cache_statistics_length in
  let result = Soil_raw_files.cache_statistics point record in
  ignore (Failure.check ~operation:"cache statistics" ~subject:point result);
  record

let counts record =
  {
    dirty = Soil_raw.cache_statistics record Dirty;
    hits = Soil_raw.cache_statistics record Hits;
    misses = Soil_raw.cache_statistics record Misses;
    read_ahead = Soil_raw.cache_statistics record Read_ahead;
  }

let total () = counts (statistics "")
let volume path = counts (statistics (Fs.volume path).point)

let memory () =
  let record = statistics "" in
  { used = Soil_raw.cache_statistics record Used; limit = Soil_raw.cache_statistics record Limit }
