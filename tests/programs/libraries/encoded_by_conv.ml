(* ppx_yojson_conv: the part of `encoded` whose attributes are ppx_deriving_yojson's, too. *)

open Ppx_yojson_conv_lib.Yojson_conv.Primitives

type colour = Red | Mixed of int * int [@@deriving yojson]

type item = { name : string; count : int; [@default 1] colours : colour list [@key "c"] }
[@@deriving yojson] [@@yojson.allow_extra_fields]

let text = {|{"name": "größe", "c": [["Red"], ["Mixed", 1, 2]], "more": null}|}
let broken = {|{"name": 7, "c": []}|}

let () =
  let item = item_of_yojson (Yojson.Safe.from_string text) in
  Printf.printf "%s %d\n" item.name (List.length item.colours);
  print_endline (Yojson.Safe.to_string (yojson_of_item { item with count = 3 }));
  match item_of_yojson (Yojson.Safe.from_string broken) with
  | _ -> print_endline "decoded"
  | exception Ppx_yojson_conv_lib.Yojson_conv.Of_yojson_error (reason, _) ->
      print_endline (Printexc.to_string reason)
