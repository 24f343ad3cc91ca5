type 'a t = 'a Message.reader

let next = Message.next
let rec fold f acc r = match next r with None -> acc | Some v -> fold f (f acc v) r
let iter f r = fold (fun () v -> f v) () r
let was_compressed = Message.was_compressed
