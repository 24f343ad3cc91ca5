type t = string

external of_text : string -> t = "%identity"
external text : t -> string = "%identity"
