let value option ~default = match option with Some x -> x | None -> default
let map f = function Some x -> Some (f x) | None -> None
let iter f = function Some x -> f x | None -> ()
let fold ~none ~some = function Some x -> some x | None -> none
