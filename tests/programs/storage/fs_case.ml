(* What the cases for file systems share. *)

module D = Soil.File_descriptor
module Fs = Soil.Fs
module Task = Soil.Task

type place = { root : string; fat : bool; scale : int }

exception Wrong of string

let wrong format = Printf.ksprintf (fun text -> raise (Wrong text)) format
let ( // ) a b = a ^ "/" ^ b
let is what condition = if not condition then wrong "%s" what

let equal what show wanted found =
  if wanted <> found then wrong "%s: %s, should be %s" what (show found) (show wanted)

let text s =
  if String.length s < 60 then Printf.sprintf "%S" s
  else Printf.sprintf "%d bytes %S…" (String.length s) (String.sub s 0 20)

let same what wanted found = equal what text wanted found
let number what wanted found = equal what string_of_int wanted found

(* The file system's answer, "done" if it did it. *)
let answer call =
  match call () with () -> "done" | exception Soil.Error { code; _ } -> Soil.Error.message code

let answers what code call =
  same what (match code with Some code -> Soil.Error.message code | None -> "done") (answer call)

let names path = List.map fst (Fs.list path)
let create path = D.close (Fs.open_ ~mode:Create path)
let fails what code call = answers what (Some code) call
let works what call = answers what None call
let open_at path = D.close (Fs.open_ path)
let links path = (Fs.lstat path).links
let size path = (Fs.lstat path).size

let pattern n len =
  String.init len (fun i -> Char.unsafe_chr (((n * 131) + (i * 7) + (i lsr 8)) land 255))

let pwrite d position s = Fs.pwrite d ~position (Bytes.unsafe_of_string s) 0 (String.length s)

let pread d position len =
  let b = Bytes.create len in
  Bytes.sub_string b 0 (Fs.pread d ~position b 0 len)

(* [Random.State] is the same in both forms. *)
let random = Random.State.make [| 20 |]
let below n = Random.State.int random n

let shuffled list =
  List.map snd (List.sort compare (List.map (fun x -> (Random.State.bits random, x)) list))

let rec up_to ?(from = 1) n = if from > n then [] else from :: up_to ~from:(from + 1) n
