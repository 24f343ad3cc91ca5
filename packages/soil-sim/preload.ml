let name = "libsoil_preload.so"
let variable = "SOIL_SIM_PRELOAD"
let folders variable = String.split_on_char ':' (Option.value (Sys.getenv_opt variable) ~default:"")
let stublibs prefix = Filename.concat (Filename.concat prefix "lib") "stublibs"

let rec ancestors folder =
  let parent = Filename.dirname folder in
  folder :: (if String.equal parent folder then [] else ancestors parent)

(* Where dune and opam install it: the folders of OCaml's stubs, of the build that the test is in,
   and of the switch whose commands are on the path. *)
let places () =
  let test = Filename.dirname Sys.executable_name in
  let test = if Filename.is_relative test then Filename.concat (Sys.getcwd ()) test else test in
  let install folder = Filename.concat (Filename.concat folder "install") "default" in
  folders "CAML_LD_LIBRARY_PATH"
  @ List.concat_map (fun a -> [ stublibs (install a); stublibs a ]) (ancestors test)
  @ List.map (fun bin -> stublibs (Filename.dirname bin)) (folders "PATH")

let find () =
  match Sys.getenv_opt variable with
  | Some path when Sys.file_exists path -> path
  | Some path -> failwith (Printf.sprintf "%s: %s: no such file: correct the path" variable path)
  | None -> (
      let files = List.map (fun folder -> Filename.concat folder name) (places ()) in
      match List.find_opt Sys.file_exists files with
      | Some path -> path
      | None ->
          failwith
            (Printf.sprintf
               "%s, which unmodified programs need, is in no folder of stubs: install Soil with \
                dune install, or give its path in %s"
               name variable))

(* ELF, 64 bits: the place, the size and the number of the program headers, and their type of a
   dynamic loader's name. *)
let headers_at = 32
let size_at = 54
let count_at = 56
let interpreter = 3l

let is_dynamic file =
  try
    let start = Int64.to_int (String.get_int64_le file headers_at) in
    let size = String.get_uint16_le file size_at in
    let kind i = String.get_int32_le file (start + (i * size)) in
    String.starts_with ~prefix:"\x7fELF" file
    && List.exists
         (fun i -> kind i = interpreter)
         (List.init (String.get_uint16_le file count_at) Fun.id)
  with Invalid_argument _ -> false

let absolute path = if Filename.is_relative path then Filename.concat (Sys.getcwd ()) path else path

let contains file text =
  let n = String.length text in
  let rec at i =
    match String.index_from_opt file i text.[0] with
    | Some i when i + n <= String.length file -> String.sub file i n = text || at (i + 1)
    | _ -> false
  in
  at 0

(* Of a program with Soil, the code that makes it a node reads this variable. *)
let has_soil file = contains file "SOIL_SIMULATION\000"

let check program =
  let fail reason = failwith (Printf.sprintf "node's program %s: %s" program reason) in
  let file = In_channel.with_open_bin program In_channel.input_all in
  if has_soil file then fail "links Soil: leave ~unmodified out";
  if not (is_dynamic file) then
    fail
      "linked statically, or no program: nothing can be preloaded into it; link it dynamically, or \
       write it with Soil"

let variables program =
  if Sys.file_exists program then check program;
  [ ("LD_PRELOAD", absolute (find ())) ]
