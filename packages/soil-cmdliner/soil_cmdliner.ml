open Cmdliner

(* Cmdliner would start a pager, which no image can and which would write past the answer. *)
let without_pager argv =
  let rec plain = function
    | "--" :: _ as rest -> rest
    | ("--help" | "--help=auto" | "--help=pager") :: rest -> "--help=plain" :: plain rest
    | word :: rest -> word :: plain rest
    | [] -> []
  in
  Array.of_list (plain (Array.to_list argv))

(* What goes to the formatters is part of the answer, where the program is asked for its needs. *)
let evaluate cmd =
  let asked = Soil.Needs.asked () in
  let argv = if asked || Soil.on_vm then without_pager Sys.argv else Sys.argv in
  if not asked then
    match Cmd.eval_value' ~catch:false ~argv cmd with `Ok f -> f | `Exit status -> exit status
  else
    let output = Buffer.create 256 and error = Buffer.create 256 in
    let help = Format.formatter_of_buffer output and err = Format.formatter_of_buffer error in
    match Cmd.eval_value' ~catch:false ~help ~err ~argv cmd with
    | `Ok f -> f
    | `Exit status ->
        Format.pp_print_flush help ();
        Format.pp_print_flush err ();
        let output = Buffer.contents output and error = Buffer.contents error in
        Soil.Needs.answer ~ends:{ status; output; error } ();
        exit status

let main cmd = Soil.run (evaluate cmd)

let main_result cmd =
  match Soil.run (evaluate cmd) with
  | Ok () -> ()
  | Error message ->
      Soil.Private.print_error (fun () -> Cmd.name cmd ^ ": " ^ message ^ "\n");
      exit Cmd.Exit.some_error

(* Plain decimal digits: [int_of_string] takes 0x10 and 1_000 as well. *)
let number text =
  let is_digit = function '0' .. '9' -> true | _ -> false in
  if text <> "" && String.for_all is_digit text then int_of_string_opt text else None

let port =
  let parse text =
    match number text with Some n when n > 0 && n < 65536 -> Some n | Some _ | None -> None
  in
  Converter.v ~docv:"PORT" ~expected:"a port from 1 to 65535" parse string_of_int

let units = [ ('G', 30); ('M', 20); ('K', 10) ]

let parse_size text =
  let digits, bits =
    match String.length text with
    | 0 -> (text, 0)
    | length -> (
        match List.assoc_opt (Char.uppercase_ascii text.[length - 1]) units with
        | Some bits -> (String.sub text 0 (length - 1), bits)
        | None -> (text, 0))
  in
  match number digits with Some n when n <= max_int asr bits -> Some (n lsl bits) | _ -> None

let print_size n =
  let fits (_, bits) = n > 0 && n land ((1 lsl bits) - 1) = 0 in
  match List.find_opt fits units with
  | Some (unit, bits) -> Printf.sprintf "%d%c" (n asr bits) unit
  | None -> string_of_int n

let size = Converter.v ~docv:"SIZE" ~expected:"bytes such as 512, 64K or 16M" parse_size print_size

let seconds =
  let parse text =
    match float_of_string_opt text with Some s when s >= 0. && s < infinity -> Some s | _ -> None
  in
  Converter.v ~docv:"SECONDS" ~expected:"seconds such as 0.5 or 30" parse (Printf.sprintf "%g")

module Net = Addresses
