type t = { hits : int; misses : int; dirty : int; read_ahead : int }
type memory = { used : int; limit : int }

let numbers operation point =
  let numbers = Scheduler.create_ints 6 in
  let result = Soil_raw_cache.cache_statistics point numbers in
  ignore (Failure.check ~operation ~subject:point result);
  numbers

let counts numbers : t =
  Bigarray.Array1.
    {
      dirty = get numbers 0;
      hits = get numbers 1;
      misses = get numbers 2;
      read_ahead = get numbers 3;
    }

let total () = counts (numbers "cache statistics" "")
let volume path = counts (numbers "cache statistics" (Fs.volume path).point)

let memory () =
  let numbers = numbers "cache statistics" "" in
  { used = numbers.{4}; limit = numbers.{5} }
