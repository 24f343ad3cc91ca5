type t = { port : int; data : string; max_value : int; admin : bool }

let mistake text =
  prerr_endline ("service: " ^ text);
  exit 2

let number what ~least ~most text =
  match int_of_string_opt text with
  | Some n when n >= least && n <= most -> n
  | Some _ | None -> mistake (Printf.sprintf "%s is a number from %d to %d" what least most)

let environment name default = Option.value (Sys.getenv_opt name) ~default

let read () =
  let port = ref (environment "SERVICE_PORT" "80") in
  let data = ref (environment "SERVICE_DATA" "/data") in
  let max_value = ref (environment "SERVICE_MAX_VALUE" "1048576") in
  let admin = ref (environment "SERVICE_ADMIN" "0" = "1") in
  let arguments =
    [
      ("--port", Arg.Set_string port, "PORT  the TCP port (80)");
      ("--data", Arg.Set_string data, "FOLDER  where the values are (/data)");
      ("--max-value", Arg.Set_string max_value, "BYTES  the longest value (1048576)");
      ("--admin", Arg.Set admin, "  POST /fail/CHILD has a child fail");
    ]
  in
  Arg.parse arguments
    (fun word -> mistake ("no such argument: " ^ word))
    "service [ARGUMENT…], or SERVICE_PORT, SERVICE_DATA, SERVICE_MAX_VALUE, SERVICE_ADMIN=1";
  {
    port = number "the port" ~least:1 ~most:65535 !port;
    data = !data;
    max_value = number "the longest value" ~least:1 ~most:(1 lsl 30) !max_value;
    admin = !admin;
  }
