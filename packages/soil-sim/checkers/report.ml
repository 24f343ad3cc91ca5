let first max items =
  let others = List.length items - max in
  (List.filteri (fun i _ -> i < max) items, others)

let lines ?(max = 6) text items =
  let shown, others = first max items in
  let shown = List.map text shown in
  let all = if others > 0 then shown @ [ Printf.sprintf "and %d more" others ] else shown in
  String.concat "" (List.map (fun line -> "\n  " ^ line) all)

let names items =
  let shown, others = first 8 items in
  String.concat ", " shown ^ if others > 0 then Printf.sprintf " and %d more" others else ""
