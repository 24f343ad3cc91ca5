type params = (string * string) list

let params p = p

let param p name =
  match List.assoc_opt name p with
  | Some v -> v
  | None -> invalid_arg ("Soil_http.Router.param: the pattern has no parameter " ^ name)

type handler = params -> Server.request -> Server.response
type segment = Literal of string | Parameter of string | Rest of string

(* Without a method: for all. *)
type one = {
  meth : Cohttp.Code.meth option;
  pattern : segment list;
  text : string; (* The pattern as it was given, below its scopes. *)
  handler : handler;
}

type route = one list

(* Patterns *)

let malformed pattern what = invalid_arg ("Soil_http.Router: " ^ pattern ^ ": " ^ what)

let segment pattern text =
  let name () =
    if String.length text = 1 then malformed pattern "a parameter without a name";
    String.sub text 1 (String.length text - 1)
  in
  if text = "" then Literal ""
  else match text.[0] with ':' -> Parameter (name ()) | '*' -> Rest (name ()) | _ -> Literal text

let name_of = function Literal _ -> None | Parameter name | Rest name -> Some name

let rec check pattern names = function
  | [] -> ()
  | segment :: after ->
      (match segment with
      | Rest _ when after <> [] -> malformed pattern "a rest isn't at the end"
      | Literal "" when after <> [] -> malformed pattern "an empty segment"
      | Literal ("." | "..") -> malformed pattern "a dot segment"
      | _ -> ());
      let name = name_of segment in
      if name <> None && List.mem name names then malformed pattern "a name twice";
      check pattern (name :: names) after

let parse pattern =
  match String.split_on_char '/' pattern with
  (* A scope's own path. *)
  | [ "" ] -> []
  | "" :: (_ :: _ as texts) ->
      let segments = List.map (segment pattern) texts in
      check pattern [] segments;
      segments
  | _ -> malformed pattern "a pattern begins with a slash"

let route meth pattern handler = [ { meth; pattern = parse pattern; text = pattern; handler } ]
let meth m = route (Some m)
let get pattern = meth `GET pattern
let post pattern = meth `POST pattern
let put pattern = meth `PUT pattern
let patch pattern = meth `PATCH pattern
let delete pattern = meth `DELETE pattern
let any pattern = route None pattern

let scope ?(middleware = Fun.id) prefix routes =
  let above = parse prefix in
  if List.exists (function Rest _ | Literal "" -> true | _ -> false) above then
    malformed prefix "a prefix has no rest and no final slash";
  let below one =
    let pattern = above @ one.pattern in
    check prefix [] pattern;
    { one with pattern; text = prefix ^ one.text; handler = middleware one.handler }
  in
  List.map below (List.concat routes)

(* The routes by their segments *)

type node = {
  mutable literals : (string * node) list;
  mutable parameter : node option;
  mutable rest : one list;
  mutable here : one list;  (** In order, one for each method. *)
}

let empty () = { literals = []; parameter = None; rest = []; here = [] }

let add one list =
  if List.exists (fun other -> other.meth = one.meth) list then
    invalid_arg "Soil_http.Router.router: two routes have the same method and pattern";
  list @ [ one ]

let rec insert node one = function
  | [] -> node.here <- add one node.here
  | Rest _ :: _ -> node.rest <- add one node.rest
  | Parameter _ :: after ->
      let child = match node.parameter with Some child -> child | None -> empty () in
      node.parameter <- Some child;
      insert child one after
  | Literal text :: after -> (
      match List.assoc_opt text node.literals with
      | Some child -> insert child one after
      | None ->
          let child = empty () in
          node.literals <- (text, child) :: node.literals;
          insert child one after)

(* Paths *)

let rec only_last_empty = function
  | [] | [ _ ] -> true
  | text :: after -> text <> "" && only_last_empty after

(* What matches [texts] below [node], each with the values of its parameters, [values] reversed
   before them; the most specific first. A node is visited once. *)
let rec matches node texts values =
  match texts with
  | [] -> if node.here = [] then [] else [ (node.here, List.rev values) ]
  | text :: after ->
      let literal =
        match List.assoc_opt text node.literals with
        | Some child -> matches child after values
        | None -> []
      in
      let parameter =
        match node.parameter with
        | Some child when text <> "" -> matches child after (text :: values)
        | _ -> []
      in
      let rest =
        if node.rest <> [] && only_last_empty texts then
          [ (node.rest, List.rev (String.concat "/" texts :: values)) ]
        else []
      in
      literal @ parameter @ rest

let is_plain text =
  text <> "." && text <> ".."
  && String.for_all (fun c -> c >= ' ' && c <> '/' && c <> '\\' && c <> '\127') text
  && String.is_valid_utf_8 text

let rec decode_all = function
  | [] -> Some []
  | text :: after -> (
      match Percent.decode text with
      | Some text when is_plain text -> Option.map (List.cons text) (decode_all after)
      | Some _ | None -> None)

(* Methods *)

let find_method m list =
  match List.find_opt (fun one -> one.meth = Some m) list with
  | None when m = `HEAD -> List.find_opt (fun one -> one.meth = Some `GET) list
  | found -> found

let handler_of m list =
  match find_method m list with
  | None -> List.find_opt (fun one -> one.meth = None) list
  | found -> found

let allowed matching =
  let add names one =
    let names_of = function `GET -> [ "GET"; "HEAD" ] | m -> [ Cohttp.Code.string_of_method m ] in
    let own = match one.meth with Some m -> names_of m | None -> [] in
    names @ List.filter (fun name -> not (List.mem name names)) own
  in
  let names = List.fold_left add [] (List.concat_map fst matching) in
  String.concat ", " (if List.mem "OPTIONS" names then names else names @ [ "OPTIONS" ])

let not_allowed request m matching =
  let headers = Cohttp.Header.init_with "allow" (allowed matching) in
  if m = `OPTIONS then Server.status ~headers `No_content
  else Server.error request ~headers `Method_not_allowed

let rec respond request m = function
  | [] -> None
  | (list, values) :: others -> (
      match handler_of m list with
      | None -> respond request m others
      | Some one ->
          let names = List.filter_map name_of one.pattern in
          Server.Request.set_route request one.text;
          Some (one.handler (List.combine names values) request))

let not_found_by_default request = Server.error request `Not_found

let router ?(not_found = not_found_by_default) routes =
  let root = empty () in
  let insert one =
    if one.pattern = [] then malformed "\"\"" "an empty pattern outside of a scope";
    insert root one one.pattern
  in
  List.iter insert (List.concat routes);
  fun request ->
    let m = Server.meth request in
    match String.split_on_char '/' (Server.path request) with
    | "" :: (_ :: _ as texts) -> (
        match decode_all texts with
        | None -> Server.error request `Bad_request
        | Some texts -> (
            let matching = matches root texts [] in
            match respond request m matching with
            | Some response -> response
            | None when matching = [] -> not_found request
            | None -> not_allowed request m matching))
    | _ when m = `OPTIONS -> Server.status `No_content
    | _ -> Server.error request `Bad_request
