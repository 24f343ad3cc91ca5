open Input

let input r b off len =
  Descriptor.check_buffer "Reader.Bigarray.input" b off len;
  if len = 0 then 0
  else if buffered r = 0 && len >= r.size then (
    r.before_read ();
    r.descriptor.io.read_into r.descriptor b off len)
  else if at_end r then 0
  else
    let n = min len (buffered r) in
    Pool.of_bytes r.buffer (advance r n) b off n;
    n
