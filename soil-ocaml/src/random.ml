let operation = "random"

let rec fill_range b off len =
  let n = Soil_raw_machine.random_fill b off len in
  if n = Soil_raw.would_block then (
    let seed token = Soil_raw_machine.random_seed token in
    ignore (Scheduler.operation ~operation ~subject:"" seed);
    fill_range b off len)
  else
    let n = Failure.check ~operation ~subject:"" n in
    if n < len then fill_range b (off + n) (len - n)

let fill b off len =
  Descriptor.check_bytes "Random.fill" b off len;
  if len > 0 then fill_range b off len

let string n =
  if n < 0 then invalid_arg "Soil.Random.string: negative length";
  let b = Bytes.create n in
  fill b 0 n;
  Bytes.unsafe_to_string b

let int n =
  if n < 1 then invalid_arg "Soil.Random.int: less than 1";
  let b = Bytes.create 8 in
  (* Numbers past the last whole multiple of [n] would make small results likelier. *)
  let rec draw () =
    fill b 0 8;
    let r = Int64.to_int (Bytes.get_int64_le b 0) land max_int in
    let v = r mod n in
    if r - v > max_int - n + 1 then draw () else v
  in
  draw ()
