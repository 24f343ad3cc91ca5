let unit bits function_ n =
  if n < 0 || n > max_int asr bits then
    invalid_arg ("Soil.Needs." ^ function_ ^ ": not a number of bytes");
  n lsl bits

let kib = unit 10 "kib"
let mib = unit 20 "mib"
let gib = unit 30 "gib"

type file_system = [ `Fat | `Ext4 | `Tar | `Memory | `Host ]

(* What RFC 8259 wants escaped. *)
let json_string s =
  let digit n = "0123456789abcdef".[n] in
  let b = Buffer.create (String.length s + 2) in
  Buffer.add_char b '"';
  let add = function
    | ('"' | '\\') as c ->
        Buffer.add_char b '\\';
        Buffer.add_char b c
    | '\000' .. '\031' as c ->
        Buffer.add_string b "\\u00";
        Buffer.add_char b (digit (Char.code c lsr 4));
        Buffer.add_char b (digit (Char.code c land 15))
    | c -> Buffer.add_char b c
  in
  String.iter add s;
  Buffer.add_char b '"';
  Buffer.contents b

let members list =
  let member (name, value) = json_string name ^ ":" ^ value in
  "{" ^ String.concat "," (List.map member list) ^ "}"

let values list = "[" ^ String.concat "," list ^ "]"
let text name value = (name, json_string value)
let number name value = (name, string_of_int value)
let flag name value = (name, string_of_bool value)

(* The last first, as JSON. *)
let declared = ref []
let names = ref []
let networks = ref 0
let least_memory = ref 0
let least_cpus = ref 0
let running = ref false

(* Each fails with what is wrong, or raises [Error]; the last need's is first. *)
let checks : (string * (unit -> (unit, string) result)) list ref = ref []
let add_check name f = checks := (name, f) :: !checks

let check condition function_ why =
  if not condition then invalid_arg ("Soil.Needs." ^ function_ ^ ": " ^ why)

let check_time function_ = check (not !running) function_ "after Soil.run has begun"

let named function_ name =
  let fits = function 'a' .. 'z' | '0' .. '9' | '_' -> true | _ -> false in
  check_time function_;
  check
    (name <> "" && String.length name <= 20 && String.for_all fits name)
    function_ "a name has 1 to 20 small letters, digits or '_'";
  check (not (List.mem name !names)) function_ (name ^ " is declared twice");
  names := name :: !names

let declare ~doc kind list =
  let check_line doc =
    let is_control c = c < ' ' || c = '\127' in
    check (not (String.exists is_control doc)) kind "doc isn't one line of text";
    text "doc" doc
  in
  let doc = List.map check_line [ doc ] in
  declared := members ((text "kind" kind :: list) @ doc) :: !declared

let file_system_name = function
  | `Fat -> "fat"
  | `Ext4 -> "ext4"
  | `Tar -> "tar"
  | `Memory -> "memory"
  | `Host -> "host"

let is_plain_path path =
  let is_plain = function "" | "." | ".." -> false | _ -> true in
  (not (String.exists (fun c -> c < ' ' || c = '=' || c = ';' || c = ',') path))
  &&
  match String.split_on_char '/' path with
  | "" :: (_ :: _ as names) -> path = "/" || List.for_all is_plain names
  | _ -> false

let volume ?at ?(file_systems = []) ?(at_least = 0) ?(read_only = false) ?(optional = false)
    ?(doc = "") name =
  named "volume" name;
  let at = match at with Some at -> at | None -> "/" ^ name in
  check (is_plain_path at) "volume" "at isn't an absolute path";
  check (at_least >= 0) "volume" "at_least is negative";
  let file_system f = json_string (file_system_name f) in
  if not optional then
    add_check ("volume " ^ name) (fun () ->
        match !Needed.volume with
        | None -> Ok ()
        | Some find ->
            let _, is_writable = find at in
            if is_writable || read_only then Ok ()
            else Error (at ^ " is read-only, and the program writes to it"));
  declare ~doc "volume"
    [
      text "name" name;
      text "at" at;
      ("file_systems", values (List.map file_system file_systems));
      number "at_least" at_least;
      flag "read_only" read_only;
      flag "optional" optional;
    ];
  at

let disk ?(at_least = 0) ?(read_only = false) ?(optional = false) ?(doc = "") name =
  named "disk" name;
  check (at_least >= 0) "disk" "at_least is negative";
  if not optional then
    add_check ("disk " ^ name) (fun () ->
        match !Needed.disk with
        | None -> Ok ()
        | Some find ->
            let bytes, is_writable = find name in
            if bytes < at_least then
              Error
                ("has " ^ string_of_int bytes ^ " bytes, and " ^ string_of_int at_least
               ^ " are needed")
            else if is_writable || read_only then Ok ()
            else Error "is read-only, and the program writes to it");
  declare ~doc "disk"
    [
      text "name" name;
      number "at_least" at_least;
      flag "read_only" read_only;
      flag "optional" optional;
    ];
  name

(* Linux's own sockets have no interfaces of Soil's. *)
let on_own_sockets () =
  Soil_raw.on_vm () = 0
  && match Sys.getenv_opt "SOIL_NET" with None | Some ("" | "host") -> true | Some _ -> false

let check_interfaces wanted =
  match !Needed.interfaces with
  | Some count when not (on_own_sockets ()) ->
      let found = count () in
      if found >= wanted then Ok ()
      else
        Error
          ("there are " ^ string_of_int found ^ " network devices, and " ^ string_of_int wanted
         ^ " are needed: give --net for each")
  | _ -> Ok ()

let net ?(doc = "") name =
  named "net" name;
  declare ~doc "net" [ text "name" name ];
  let interface = "eth" ^ string_of_int !networks in
  incr networks;
  let wanted = !networks in
  add_check ("net " ^ name) (fun () -> check_interfaces wanted);
  interface

let port ?(protocol = `Tcp) ?(doc = "") name n =
  named "port" name;
  check (n > 0 && n < 65536) "port" "not between 1 and 65535";
  add_check ("port " ^ name) (fun () -> check_interfaces 1);
  declare ~doc "port"
    [
      text "name" name;
      number "number" n;
      text "protocol" (match protocol with `Tcp -> "tcp" | `Udp -> "udp" | `Both -> "both");
    ];
  n

let displays = ref 0
let size (width, height) = string_of_int width ^ "x" ^ string_of_int height

let display ?(at_least = (0, 0)) ?(optional = false) ?(doc = "") name =
  named "display" name;
  let is_side n = n >= 16 && n <= 8192 in
  let width, height = at_least in
  check
    (at_least = (0, 0) || (is_side width && is_side height))
    "display" "at_least has a side that isn't between 16 and 8192";
  let display = "display" ^ string_of_int !displays in
  incr displays;
  if not optional then
    add_check ("display " ^ name) (fun () ->
        match !Needed.display with
        | None -> Ok ()
        | Some find ->
            let present, modes = find display in
            if List.exists (fun (wide, high) -> wide >= width && high >= height) (present :: modes)
            then Ok ()
            else
              Error
                ("has " ^ size present ^ " pixels, and " ^ size at_least
               ^ " are needed: give --display-size"));
  declare ~doc "display"
    [
      text "name" name;
      ("at_least", values [ string_of_int width; string_of_int height ]);
      flag "optional" optional;
    ];
  display

let has_input = ref false

let input () =
  check_time "input";
  if not !has_input then (
    has_input := true;
    add_check "input" (fun () -> Ok (Option.iter (fun find -> find ()) !Needed.input));
    declared := members [ text "kind" "input" ] :: !declared)

let memory bytes =
  check_time "memory";
  check (bytes > 0) "memory" "not a number of bytes";
  least_memory := max !least_memory bytes

let cpus n =
  check_time "cpus";
  check (n > 0) "cpus" "less than one processor";
  least_cpus := max !least_cpus n

let setting () =
  match Sys.getenv_opt "SOIL_NEEDS" with
  | None | Some "" -> `Check
  | Some "json" -> `Ask
  | Some "ignore" -> `Ignore
  | Some _ ->
      let detail = "SOIL_NEEDS has to be json or ignore" in
      Error.fail Bad_configuration "needs" ~subject:"SOIL_NEEDS" ~detail

let asked () = setting () = `Ask

type ends = { status : int; output : string; error : string }

(* The first bytes of an answer: RFC 7464's record separator and the beginning of the object. [soil]
   looks for them in a program's file, to know whether it can be asked: see
   tools/src/needs/answer.rs. *)
let beginning = "\030{\"soil_needs\":1,"

external exit_at_once : int -> 'a = "caml_sys_exit"

let answer ?ends () =
  if asked () then (
    let largest kind name n =
      if n > 0 then [ members [ text "kind" kind; number name n ] ] else []
    in
    let needs =
      List.rev !declared
      @ largest "memory" "bytes" !least_memory
      @ largest "cpus" "count" !least_cpus
    in
    let ends =
      match ends with
      | None -> ""
      | Some { status; output; error } ->
          let list = [ number "status" status; text "output" output; text "error" error ] in
          ",\"ends\":" ^ members list
    in
    (* What the program has written may have no end of a line. *)
    print_string ("\n" ^ beginning ^ "\"needs\":" ^ values needs ^ ends ^ "}\n");
    flush stdout;
    exit_at_once 0)

let check_memory () =
  let total = (Machine.memory ()).total in
  (* The kernel's own part, and the image itself, aren't counted. *)
  if Soil_raw.on_vm () = 0 || total >= !least_memory - (!least_memory / 8) then Ok ()
  else
    let shown n = string_of_int (n lsr 20) ^ " MiB" in
    Error
      ("the machine has " ^ shown total ^ ", and the program needs " ^ shown !least_memory
     ^ ": give --mem")

let check_processors () =
  let found = Machine.cpus () in
  if found >= !least_cpus then Ok ()
  else
    let wanted = string_of_int !least_cpus in
    let remedy =
      if Soil_raw.on_vm () = 0 then ""
      else ": give --cpus " ^ wanted ^ " (an image without Domain.spawn has one)"
    in
    Error ("there are " ^ string_of_int found ^ ", and the program needs " ^ wanted ^ remedy)

let reason (e : Error.t) = if e.detail = "" then Error.to_string e else e.detail

(* The status of [soil run] for a program that it refuses. *)
let refused = 125

let check_all () =
  let fails (name, f) =
    match try f () with Error.Error e -> Stdlib.Error (reason e) with
    | Ok () -> false
    | Error why ->
        Failure.print (fun () -> "soil: " ^ name ^ ": " ^ why ^ "\n");
        true
  in
  let all = List.rev_append !checks [ ("memory", check_memory); ("cpus", check_processors) ] in
  if List.filter fails all <> [] then (
    Failure.print (fun () ->
        "soil: start the program by 'soil run', or with the options that 'soil run --dry-run' \
         prints; SOIL_NEEDS=ignore runs it all the same\n");
    Scheduler.exit refused)

let () =
  Scheduler.starting :=
    fun () ->
      running := true;
      answer ();
      if setting () = `Check then (
        Scheduler.first_in_task :=
          fun () ->
            Scheduler.first_in_task := ignore;
            check_all ())
