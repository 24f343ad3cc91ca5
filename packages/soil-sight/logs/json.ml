let own = [ "time"; "level"; "source"; "message" ]

let line (m : Line.t) =
  let quoted = Json_string.quoted in
  let of_tag (name, value) =
    let name = if List.mem name own then "tag_" ^ name else name in
    (name, match (value : Line.value) with Text text -> quoted text | Json json -> json)
  in
  let source = if m.source = "" then [] else [ ("source", quoted m.source) ] in
  let members =
    [ ("time", quoted (Line.timestamp m.time)); ("level", quoted (Line.level m.level)) ]
    @ source @ List.map of_tag m.tags
    @ [ ("message", quoted m.text) ]
  in
  let member (name, value) = quoted name ^ ":" ^ value in
  "{" ^ String.concat "," (List.map member members) ^ "}\n"
