(* Descriptors (google/protobuf/descriptor.proto). *)

type file = {
  name : string;
  imports : string list;
  symbols : string list;  (** With their packages, without a dot before. *)
  extensions : (string * int) list;  (** The type that is extended, and the number. *)
  content : string;
}

let decoded = function
  | Ok v -> v
  | Error reason -> invalid_arg ("Soil_grpc.Reflection: not a FileDescriptorSet: " ^ reason)

(* The messages and strings in the fields of [s]. *)
let children s =
  List.rev
    (decoded (Wire.decode [] (fun l n v -> match v with Wire.Bytes s -> (n, s) :: l | _ -> l) s))

let all number fields = List.filter_map (fun (n, s) -> if n = number then Some s else None) fields
let first number fields = match all number fields with [] -> "" | s :: _ -> s
let within scope name = if scope = "" then name else scope ^ "." ^ name
let name_of s = first 1 (children s)

(* FieldDescriptorProto: extendee = 2, number = 3. *)
let extension s =
  let field (extended, number) n v =
    match (n, v) with
    | 2, Wire.Bytes s -> (s, number)
    | 3, Wire.Varint i -> (extended, Int64.to_int i)
    | _ -> (extended, number)
  in
  let extended, number = decoded (Wire.decode ("", 0) field s) in
  let n = String.length extended in
  ((if n > 0 && extended.[0] = '.' then String.sub extended 1 (n - 1) else extended), number)

(* EnumDescriptorProto: value = 2, whose names are in the scope of the enumeration. *)
let enum scope s =
  let fields = children s in
  within scope (first 1 fields) :: List.map (fun v -> within scope (name_of v)) (all 2 fields)

(* DescriptorProto: field = 2, nested_type = 3, enum_type = 4, extension = 6, oneof_decl = 8. *)
let rec message scope s =
  let fields = children s in
  let scope = within scope (first 1 fields) in
  let named number = List.map (fun s -> within scope (name_of s)) (all number fields) in
  let nested = List.map (message scope) (all 3 fields) in
  let own = all 6 fields in
  ( (scope :: named 2) @ List.concat_map fst nested
    @ List.concat_map (enum scope) (all 4 fields)
    @ named 6 @ named 8,
    List.map extension own @ List.concat_map snd nested )

(* ServiceDescriptorProto: method = 2. *)
let service scope s =
  let fields = children s in
  let scope = within scope (first 1 fields) in
  scope :: List.map (fun s -> within scope (name_of s)) (all 2 fields)

(* FileDescriptorProto: package = 2, dependency = 3, message_type = 4, enum_type = 5, service = 6,
   extension = 7. *)
let file content =
  let fields = children content in
  let package = first 2 fields in
  let messages = List.map (message package) (all 4 fields) in
  {
    name = first 1 fields;
    imports = all 3 fields;
    symbols =
      List.concat_map fst messages
      @ List.concat_map (enum package) (all 5 fields)
      @ List.concat_map (service package) (all 6 fields)
      @ List.map (fun s -> within package (name_of s)) (all 7 fields);
    extensions = List.map extension (all 7 fields) @ List.concat_map snd messages;
    content;
  }

type t = {
  files : (string, file) Hashtbl.t;
  symbols : (string, file) Hashtbl.t;
  extensions : (string * int, file) Hashtbl.t;
  services : string list;
}

let index descriptors services =
  let t =
    {
      files = Hashtbl.create 16;
      symbols = Hashtbl.create 64;
      extensions = Hashtbl.create 16;
      services;
    }
  in
  List.iter
    (fun content ->
      let file = file content in
      Hashtbl.replace t.files file.name file;
      List.iter (fun s -> Hashtbl.replace t.symbols s file) file.symbols;
      List.iter (fun e -> Hashtbl.replace t.extensions e file) file.extensions)
    (all 1 (children descriptors));
  t

(* [file] and all that it imports, each once. *)
let with_imports t file =
  let seen = Hashtbl.create 16 in
  let rec go found (file : file) =
    if Hashtbl.mem seen file.name then found
    else (
      Hashtbl.replace seen file.name ();
      List.fold_left
        (fun found name ->
          match Hashtbl.find_opt t.files name with Some file -> go found file | None -> found)
        (file.content :: found) file.imports)
  in
  List.rev (go [] file)

(* Requests and responses *)

type question =
  | File of string
  | Symbol of string
  | Extension of string * int
  | Extensions of string
  | Services
  | Nothing

let extension_question s =
  let field (name, number) n v =
    match (n, v) with
    | 1, Wire.Bytes s -> (s, number)
    | 2, Wire.Varint i -> (name, Int64.to_int i)
    | _ -> (name, number)
  in
  Result.map (fun (name, n) -> Extension (name, n)) (Wire.decode ("", 0) field s)

(* ServerReflectionRequest: the question, the host, and all of it for the response. *)
let request : (string * string * question) Codec.t =
  let field (host, question) n v =
    match (n, v) with
    | 1, Wire.Bytes s -> (s, question)
    | 3, Wire.Bytes s -> (host, Ok (File s))
    | 4, Wire.Bytes s -> (host, Ok (Symbol s))
    | 5, Wire.Bytes s -> (host, extension_question s)
    | 6, Wire.Bytes s -> (host, Ok (Extensions s))
    | 7, Wire.Bytes _ -> (host, Ok Services)
    | _ -> (host, question)
  in
  {
    encode = (fun (text, _, _) -> text);
    decode =
      (fun text ->
        match Wire.decode ("", Ok Nothing) field text with
        | Ok (host, Ok question) -> Ok (text, host, question)
        | Ok (_, Error reason) | Error reason -> Error reason);
  }

let encode = Wire.encode
let files contents = (4, encode (fun b -> List.iter (Wire.message b 1) contents))

let failure code message =
  ( 7,
    encode (fun b ->
        Wire.int b 1 (Status.number code);
        Wire.string b 2 message) )

let unknown = failure Not_found "unknown"

let answer t question =
  let found = function Some file -> files (with_imports t file) | None -> unknown in
  match question with
  | File name -> found (Hashtbl.find_opt t.files name)
  | Symbol name -> found (Hashtbl.find_opt t.symbols name)
  | Extension (name, n) -> found (Hashtbl.find_opt t.extensions (name, n))
  | Extensions name when Hashtbl.mem t.symbols name ->
      let add (extended, n) _ l = if extended = name then n :: l else l in
      let numbers = List.sort Int.compare (Hashtbl.fold add t.extensions []) in
      ( 5,
        encode (fun b ->
            Wire.string b 1 name;
            Wire.string b 2 (encode (fun b -> List.iter (Wire.varint b) numbers))) )
  | Extensions _ -> unknown
  | Services ->
      ( 6,
        encode (fun b ->
            List.iter (fun s -> Wire.message b 1 (encode (fun b -> Wire.string b 1 s))) t.services)
      )
  | Nothing -> failure Invalid_argument "no question"

let response : string Codec.t = Codec.bytes

let answer_all t _ requests send =
  Reader.iter
    (fun (text, host, question) ->
      let number, content = answer t question in
      send
        (encode (fun b ->
             Wire.string b 1 host;
             Wire.message b 2 text;
             Wire.message b number content)))
    requests

let name version = "grpc.reflection." ^ version ^ ".ServerReflection"
let versions = [ "v1"; "v1alpha" ]

let rpcs ~descriptors rpcs =
  let services = List.sort_uniq String.compare (Server.services rpcs @ List.map name versions) in
  let t = index descriptors services in
  let rpc version =
    Server.two_way
      (Method.two_way ~service:(name version) "ServerReflectionInfo" request response)
      (answer_all t)
  in
  rpcs @ List.map rpc versions
