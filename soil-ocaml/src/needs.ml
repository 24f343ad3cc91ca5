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
  declare ~doc "disk"
    [
      text "name" name;
      number "at_least" at_least;
      flag "read_only" read_only;
      flag "optional" optional;
    ];
  name

let net ?(doc = "") name =
  named "net" name;
  declare ~doc "net" [ text "name" name ];
  let interface = "eth" ^ string_of_int !networks in
  incr networks;
  interface

let port ?(protocol = `Tcp) ?(doc = "") name n =
  named "port" name;
  check (n > 0 && n < 65536) "port" "not between 1 and 65535";
  declare ~doc "port"
    [
      text "name" name;
      number "number" n;
      text "protocol" (match protocol with `Tcp -> "tcp" | `Udp -> "udp");
    ];
  n

let memory bytes =
  check_time "memory";
  check (bytes > 0) "memory" "not a number of bytes";
  least_memory := max !least_memory bytes

let cpus n =
  check_time "cpus";
  check (n > 0) "cpus" "less than one processor";
  least_cpus := max !least_cpus n

let asked () =
  match Sys.getenv_opt "SOIL_NEEDS" with
  | None | Some "" -> false
  | Some "json" -> true
  | Some _ ->
      let detail = "SOIL_NEEDS has to be json" in
      Error.fail Bad_configuration "needs" ~subject:"SOIL_NEEDS" ~detail

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

let () =
  Scheduler.starting :=
    fun () ->
      running := true;
      answer ()
