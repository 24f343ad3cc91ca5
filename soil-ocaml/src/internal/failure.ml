let code = Soil_raw.error_code
let detail_max = 1024

let text_of fetch =
  let b = Bytes.create detail_max in
  let n = fetch b 0 detail_max in
  if n <= 0 then "" else Bytes.sub_string b 0 (min n detail_max)

let detail () = text_of (fun b off len -> Soil_raw.error_detail b off len)
let detail_of token = text_of (fun b off len -> Soil_raw.error_detail_of token b off len)

let error_with ~operation ~subject ~detail r =
  let code = code r in
  (* Rust serves one domain. *)
  if code = Busy then Owner.check_domain ();
  Error.Error { code; operation; subject; detail }

let error ~operation ~subject r = error_with ~operation ~subject ~detail:(detail ()) r

let fail_with ~operation ~subject ~detail r =
  Soil_backtrace.raise (error_with ~operation ~subject ~detail r)

let fail ~operation ~subject r = Soil_backtrace.raise (error ~operation ~subject r)
let[@inline] check ~operation ~subject r = if r >= 0 then r else fail ~operation ~subject r

exception Cancelled

(* Exceptions. What follows does the part of [Printexc] that is needed without linking it. *)

type backtrace = Soil_backtrace.t

external get_backtrace : unit -> backtrace = "caml_get_exception_raw_backtrace"
external restore_backtrace : exn -> backtrace -> unit = "caml_restore_raw_backtrace"
external set_recording : bool -> unit = "caml_record_backtrace"
external register_named_value : string -> Obj.t -> unit = "caml_register_named_value"

(* The runtime's printer of the backtrace last caught, to the C library's stderr. It takes and
   returns nothing; the untagged integers stand for registers that it ignores. *)
external print_last_backtrace : (int[@untagged]) -> (int[@untagged])
  = "soil_print_backtrace_bytecode" "caml_print_exception_backtrace"
[@@noalloc]

let record_backtraces () =
  match Sys.getenv_opt "OCAMLRUNPARAM" with Some _ -> () | None -> set_recording true

(* [Obj.string_tag] and [Obj.double_tag], whose module isn't linked for two numbers that never
   change. *)
let string_tag = 252
let double_tag = 253

let field v =
  if Obj.is_int v then string_of_int (Obj.obj v)
  else if Obj.tag v = string_tag then "\"" ^ String.escaped (Obj.obj v) ^ "\""
  else if Obj.tag v = double_tag then string_of_float (Obj.obj v)
  else "_"

(* The compiler's name of [Soil.X.Y] is [Soil__X.Y]. *)
let public_name name =
  if String.starts_with ~prefix:"Soil__" name then
    "Soil." ^ String.sub name 6 (String.length name - 6)
  else name

let describe_without_printexc e =
  match e with
  | Error.Error e -> "Soil.Error: " ^ Error.to_string e
  | Cancelled -> "Soil.Task.Cancelled"
  | Stdlib.Out_of_memory -> "Out of memory"
  | Stdlib.Stack_overflow -> "Stack overflow"
  | Match_failure (file, line, _) ->
      "Pattern matching failed, file \"" ^ file ^ "\", line " ^ string_of_int line
  | Assert_failure (file, line, _) ->
      "Assertion failed, file \"" ^ file ^ "\", line " ^ string_of_int line
  | e ->
      let block = Obj.repr e in
      if Obj.tag block <> 0 then public_name (Obj.obj (Obj.field block 0))
      else
        let name = public_name (Obj.obj (Obj.field (Obj.field block 0) 0)) in
        let fields = List.init (Obj.size block - 1) (fun i -> field (Obj.field block (i + 1))) in
        name ^ "(" ^ String.concat ", " fields ^ ")"

let printer e =
  let s = describe_without_printexc e in
  if String.starts_with ~prefix:"Soil." s then Some s else None

let exception_to_string e =
  match Backend.printexc () with
  | Some (module Printexc) -> Printexc.to_string e
  | None -> describe_without_printexc e

let undoing undo f =
  match f () with
  | v -> v
  | exception e ->
      let backtrace = get_backtrace () in
      undo ();
      Soil_backtrace.reraise e backtrace

let finally finish f =
  let v = undoing finish f in
  finish ();
  v

(* Memory may be short, and standard error a full disk; an exception of a signal's handler passes. *)
let print text =
  try
    prerr_string (text ());
    flush stderr
  with Sys_error _ | Sys_blocked_io | Out_of_memory | Stack_overflow -> ()

let report what e backtrace =
  (* Both writers to stderr in order: OCaml's channel first, then the C library's. *)
  print (fun () -> what () ^ exception_to_string e ^ "\n");
  restore_backtrace e backtrace;
  ignore (print_last_backtrace 0)

(* Uncaught exceptions: the runtime would show [Error] as [Soil.Error(_)]. *)

let uncaught (e : exn) (_debugger : bool) =
  let backtrace = get_backtrace () in
  (try Stdlib.do_at_exit () with _ -> ());
  report (fun () -> "Fatal error: exception ") e backtrace

let () =
  if not (Backend.is_bytecode ()) then
    match Backend.printexc () with
    | Some (module Printexc) -> Printexc.register_printer printer
    | None -> register_named_value "Printexc.handle_uncaught_exception" (Obj.repr uncaught)
