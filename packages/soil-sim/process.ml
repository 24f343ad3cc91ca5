type t = { pid : int; wire : Wire.t }
type program = File of { path : string; arguments : string list } | Function of (unit -> unit)

external number : Unix.file_descr -> int = "%identity"

(* The coordinator's ends: a child must not keep the others' connections open. *)
let ends : (int, Unix.file_descr) Hashtbl.t = Hashtbl.create 16

let socket () =
  let ours, theirs = Unix.socketpair ~cloexec:true PF_UNIX SOCK_STREAM 0 in
  (ours, theirs)

(* The same in each run. *)
let environment = [ "PATH=/usr/bin:/bin"; "HOME=/"; "TZ=UTC"; "LC_ALL=C"; "OCAMLRUNPARAM=b" ]

let executable path arguments variables theirs =
  if not (Sys.file_exists path) then
    failwith (Printf.sprintf "node's program %s: no such file: build it, or correct the path" path);
  Unix.clear_close_on_exec theirs;
  let fd = Printf.sprintf "SOIL_SIMULATION=%d" (number theirs) in
  let null = Unix.openfile "/dev/null" [ O_RDWR; O_CLOEXEC ] 0 in
  let extra = List.map (fun (name, value) -> name ^ "=" ^ value) variables in
  let environment = Array.of_list ((fd :: environment) @ extra) in
  let words = Array.of_list (path :: arguments) in
  let pid = Unix.create_process_env path words environment null null null in
  Unix.close null;
  pid

let child f variables theirs =
  match Unix.fork () with
  | 0 ->
      List.iter (fun (name, value) -> Unix.putenv name value) variables;
      let null = Unix.openfile "/dev/null" [ O_RDWR ] 0 in
      List.iter (Unix.dup2 null) Unix.[ stdin; stdout; stderr ];
      Hashtbl.iter (fun _ fd -> Unix.close fd) ends;
      let attached = Soil_raw_simulation.simulation_attach (number theirs) in
      let status =
        if attached < 0 then 2
        else
          match f () with
          | () -> 0
          | exception e ->
              prerr_endline ("Fatal error: exception " ^ Printexc.to_string e);
              2
      in
      exit status
  | pid -> pid

let start program variables =
  let ours, theirs = socket () in
  flush_all ();
  let pid =
    match program with
    | File { path; arguments } -> executable path arguments variables theirs
    | Function f -> child f variables theirs
  in
  Unix.close theirs;
  Hashtbl.replace ends pid ours;
  { pid; wire = Wire.create ours }

let wire t = t.wire
let pid t = t.pid
let kill t = try Unix.kill t.pid Sys.sigkill with Unix.Unix_error (Unix.ESRCH, _, _) -> ()

let rec wait pid =
  match Unix.waitpid [] pid with
  | _, status -> status
  | exception Unix.Unix_error (Unix.EINTR, _, _) -> wait pid

let signals =
  Sys.[ (sigsegv, "SIGSEGV"); (sigabrt, "SIGABRT"); (sigkill, "SIGKILL"); (sigterm, "SIGTERM") ]

let status n = Printf.sprintf "status %d" n
let is_stopped how = how = status 143 || how = "SIGTERM"

let ended t =
  Wire.close t.wire;
  Hashtbl.remove ends t.pid;
  match wait t.pid with
  | WEXITED 0 -> None
  | WEXITED n -> Some (status n)
  | WSIGNALED n | WSTOPPED n ->
      let name = List.assoc_opt n signals in
      Some (Option.value name ~default:(Printf.sprintf "signal %d" n))
