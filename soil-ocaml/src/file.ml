type time = { seconds : int; nanoseconds : int }
type times = { accessed : time; modified : time; changed : time }

let operation = Scheduler.operation

(* Times *)

let times_of name subject fill =
  let record = Scheduler.create_ints Soil_raw.stat_length in
  ignore (operation ~operation:name ~subject (fun token -> fill record token));
  {
    modified =
      { seconds = Soil_raw.stat record Modified; nanoseconds = Soil_raw.stat record Modified_ns };
    accessed =
      { seconds = Soil_raw.stat record Accessed; nanoseconds = Soil_raw.stat record Accessed_ns };
    changed =
      { seconds = Soil_raw.stat record Changed; nanoseconds = Soil_raw.stat record Changed_ns };
  }

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
  let submit token = Soil_raw_files.fs_set_times path (follows follow) a a_ns m m_ns token in
  ignore (operation ~operation:"set times" ~subject:path submit)

(* Ranges *)

let check name position =
  if position < 0 then invalid_arg ("Soil.File." ^ name ^ ": negative position")

let on_file name (d : Descriptor.t) submit = operation ~operation:name ~subject:d.path submit

let range name how file position len =
  check name position;
  if len <= 0 then invalid_arg ("Soil.File." ^ name ^ ": no bytes");
  let d = Typed.any file in
  let submit token = Soil_raw_files.file_allocate d.handle how position len token in
  ignore (on_file name d submit)

let allocate ?(keep_size = false) d ~position len =
  range "allocate" (if keep_size then 1 else 0) d position len

let punch_hole d ~position len = range "punch_hole" 2 d position len
let zero_range d ~position len = range "zero_range" 3 d position len

let next name hole file position =
  check name position;
  let d = Typed.any file in
  let submit token = Soil_raw_files.file_next d.handle position hole token in
  match on_file name d submit with 0 -> None | after -> Some (after - 1)

let next_data d position = next "next_data" 0 d position
let next_hole d position = next "next_hole" 1 d position
