type t = {
  line_bytes : int;
  head_bytes : int;
  fields : int;
  body_bytes : int;
  idle_seconds : float;
  head_seconds : float;
  body_seconds : float;
  body_rate : int;
  write_seconds : float;
}
