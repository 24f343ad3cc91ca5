type t = {
  seed : int;
  faults : int list option;
  operations : int option;
  until : int option;
  trace : string option;
  debugger : (string * int) option;
  report : int option;
}

let number name text =
  match int_of_string_opt (String.trim text) with
  | Some n when n >= 0 -> n
  | _ -> failwith (Printf.sprintf "%s: %S: give a number that isn't negative" name text)

let numbers name text =
  let words = List.filter (( <> ) "") (String.split_on_char ',' text) in
  List.map (number name) words

let place name text =
  match String.rindex_opt text '@' with
  | Some i ->
      let time = String.sub text (i + 1) (String.length text - i - 1) in
      (String.sub text 0 i, number name time)
  | None -> failwith (Printf.sprintf "%s: %S: give NODE@NANOSECONDS" name text)

let read () =
  let get name parse = Option.map (parse name) (Sys.getenv_opt name) in
  {
    seed = Option.value (get "SOIL_SIM_SEED" number) ~default:1;
    faults = get "SOIL_SIM_FAULTS" numbers;
    operations = get "SOIL_SIM_OPERATIONS" number;
    until = get "SOIL_SIM_UNTIL" number;
    trace = Sys.getenv_opt "SOIL_SIM_TRACE";
    debugger = get "SOIL_SIM_GDB" place;
    report = get "SOIL_SIM_REPORT" number;
  }
