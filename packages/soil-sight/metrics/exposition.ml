open Registry

type format = Open_metrics | Prometheus

let number x =
  if Float.is_nan x then "NaN"
  else if x = Float.infinity then "+Inf"
  else if x = Float.neg_infinity then "-Inf"
  else if Float.is_integer x && Float.abs x < 1e15 then Printf.sprintf "%.0f" x
  else
    let short = Printf.sprintf "%.15g" x in
    if float_of_string short = x then short else Printf.sprintf "%.17g" x

(* A bound in OpenMetrics' canonical form: equal bounds have to be equal labels. *)
let bound x =
  let text = number x in
  if String.exists (function '0' .. '9' | '-' -> false | _ -> true) text then text
  else text ^ ".0"

(* Both formats are UTF-8. What isn't is replaced as the Unicode standard recommends. *)
let add_utf_8 buffer text add =
  let rec go i =
    if i < String.length text then (
      let decoded = String.get_utf_8_uchar text i in
      if Uchar.utf_decode_is_valid decoded then add (Uchar.utf_decode_uchar decoded)
      else Buffer.add_utf_8_uchar buffer Uchar.rep;
      go (i + Uchar.utf_decode_length decoded))
  in
  go 0

(* Help of the older format has quotes as they are. *)
let escape ~quotes buffer text =
  add_utf_8 buffer text @@ fun c ->
  match Uchar.to_int c with
  | 0x0a -> Buffer.add_string buffer "\\n"
  | 0x5c -> Buffer.add_string buffer "\\\\"
  | 0x22 when quotes -> Buffer.add_string buffer "\\\""
  | _ -> Buffer.add_utf_8_uchar buffer c

let units = [ "seconds"; "bytes"; "ratio"; "celsius"; "meters"; "volts"; "amperes"; "joules" ]
let unit_of base = List.find_opt (fun unit -> String.ends_with ~suffix:("_" ^ unit) base) units

let without suffix name =
  if String.ends_with ~suffix name then String.sub name 0 (String.length name - String.length suffix)
  else name

let header format buffer family =
  let name =
    match (format, family.kind) with
    | Open_metrics, Counter -> without "_total" family.name
    | Open_metrics, Info -> without "_info" family.name
    | _ -> family.name
  in
  let kind =
    match (family.kind, format) with
    | Counter, _ -> "counter"
    | Gauge, _ | Info, Prometheus -> "gauge"
    | Histogram, _ -> "histogram"
    | Info, Open_metrics -> "info"
  in
  Printf.bprintf buffer "# HELP %s " name;
  escape ~quotes:(format = Open_metrics) buffer family.help;
  Printf.bprintf buffer "\n# TYPE %s %s\n" name kind;
  match (format, family.kind, unit_of name) with
  | Open_metrics, (Counter | Gauge | Histogram), Some unit ->
      Printf.bprintf buffer "# UNIT %s %s\n" name unit
  | _ -> ()

let labels buffer pairs =
  if pairs <> [] then (
    Buffer.add_char buffer '{';
    List.iteri
      (fun i (name, value) ->
        if i > 0 then Buffer.add_char buffer ',';
        Printf.bprintf buffer "%s=\"" name;
        escape ~quotes:true buffer value;
        Buffer.add_char buffer '"')
      pairs;
    Buffer.add_char buffer '}')

let sample buffer name pairs value =
  Buffer.add_string buffer name;
  labels buffer pairs;
  Printf.bprintf buffer " %s\n" value

let samples buffer family (values, value) =
  let pairs = List.combine family.label_names values in
  match value with
  | Number x -> sample buffer family.name pairs (number x)
  | Distribution { bounds; counts; sum } ->
      let total = ref 0 in
      Array.iteri
        (fun i count ->
          total := !total + count;
          let le = if i < Array.length bounds then bound bounds.(i) else "+Inf" in
          sample buffer (family.name ^ "_bucket") (pairs @ [ ("le", le) ]) (string_of_int !total))
        counts;
      sample buffer (family.name ^ "_count") pairs (string_of_int !total);
      sample buffer (family.name ^ "_sum") pairs (number sum)

let write format families =
  let buffer = Buffer.create 4096 in
  List.iter
    (fun family ->
      let points = List.sort compare (family.read ()) in
      header format buffer family;
      List.iter (samples buffer family) points)
    families;
  if format = Open_metrics then Buffer.add_string buffer "# EOF\n";
  Buffer.contents buffer

(* Of a range such as [text/plain;version=0.0.4;q=0.5] the type, in small letters, and its weight
   (RFC 9110, 12.4.2). *)
let range text =
  match List.map String.trim (String.split_on_char ';' (String.lowercase_ascii text)) with
  | [] -> ("", 0.)
  | kind :: parameters ->
      let weight parameter =
        if String.starts_with ~prefix:"q=" parameter then
          float_of_string_opt (String.sub parameter 2 (String.length parameter - 2))
        else None
      in
      (kind, Option.value (List.find_map weight parameters) ~default:1.)

(* What accepts both alike gets the older format, which is what a person's browser shows. *)
let accepted accept =
  let ranges = List.map range (String.split_on_char ',' (Option.value accept ~default:"")) in
  let weight kinds =
    let named kind = List.assoc_opt kind ranges in
    Option.value (List.find_map named kinds) ~default:0.
  in
  let open_metrics = weight [ "application/openmetrics-text" ] in
  if open_metrics > 0. && open_metrics >= weight [ "text/plain"; "text/*"; "*/*" ] then Open_metrics
  else Prometheus
