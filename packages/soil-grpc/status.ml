type code =
  | OK
  | Cancelled
  | Unknown
  | Invalid_argument
  | Deadline_exceeded
  | Not_found
  | Already_exists
  | Permission_denied
  | Resource_exhausted
  | Failed_precondition
  | Aborted
  | Out_of_range
  | Unimplemented
  | Internal
  | Unavailable
  | Data_loss
  | Unauthenticated

type t = { code : code; message : string; details : (string * string) list }

exception Failed of t

let v ?(details = []) code message = { code; message; details }
let ok = v OK ""
let fail ?details code message = Soil_backtrace.raise (Failed (v ?details code message))

(* In the order of their numbers. *)
let codes =
  [|
    (OK, "OK");
    (Cancelled, "CANCELLED");
    (Unknown, "UNKNOWN");
    (Invalid_argument, "INVALID_ARGUMENT");
    (Deadline_exceeded, "DEADLINE_EXCEEDED");
    (Not_found, "NOT_FOUND");
    (Already_exists, "ALREADY_EXISTS");
    (Permission_denied, "PERMISSION_DENIED");
    (Resource_exhausted, "RESOURCE_EXHAUSTED");
    (Failed_precondition, "FAILED_PRECONDITION");
    (Aborted, "ABORTED");
    (Out_of_range, "OUT_OF_RANGE");
    (Unimplemented, "UNIMPLEMENTED");
    (Internal, "INTERNAL");
    (Unavailable, "UNAVAILABLE");
    (Data_loss, "DATA_LOSS");
    (Unauthenticated, "UNAUTHENTICATED");
  |]

let number code =
  let rec find i = if fst codes.(i) = code then i else find (i + 1) in
  find 0

let of_number n = if n >= 0 && n < Array.length codes then fst codes.(n) else Unknown
let name code = snd codes.(number code)
let to_string s = if s.message = "" then name s.code else name s.code ^ ": " ^ s.message

let () =
  Printexc.register_printer (function
    | Failed s -> Some ("Soil_grpc.Status.Failed (" ^ to_string s ^ ")")
    | _ -> None)
