type time = { seconds : int; nanoseconds : int }
type times = { accessed : time; modified : time; changed : time }

let operation = Scheduler.operation

(* Times *)

let times_of name subject fill =
  let numbers = Scheduler.create_ints 11 in
  ignore (operation ~operation:name ~subject (fun token -> fill numbers token));
  let time seconds nanoseconds =
    { seconds = numbers.{seconds}; nanoseconds = numbers.{nanoseconds} }
  in
  { modified = time 2 3; accessed = time 4 9; changed = time 5 10 }

let follows follow = if follow then 1 else 0

let times ?(follow = true) path =
  times_of "times" path (fun b token -> Soil_raw_files.fs_stat path (follows follow) b token)

let of_float f =
  let whole = Float.floor f in
  let nanoseconds = int_of_float ((f -. whole) *. 1e9) in
  { seconds = int_of_float whole; nanoseconds }

let to_float { seconds; nanoseconds } = float_of_int seconds +. (float_of_int nanoseconds *. 1e-9)

let set_times ?(follow = true) ?accessed ?modified path =
  let parts = function
    | None -> (0, -1)
    | Some { seconds; nanoseconds } ->
        if nanoseconds < 0 || nanoseconds > 999_999_999 then
          invalid_arg "Soil.File.set_times: nanoseconds";
        (seconds, nanoseconds)
  in
  let a, a_ns = parts accessed and m, m_ns = parts modified in
  let submit token = Soil_raw_file.fs_set_times path (follows follow) a a_ns m m_ns token in
  ignore (operation ~operation:"set times" ~subject:path submit)
