external make : int -> 'a -> 'a array = "caml_make_vect"

let init n f =
  let a = make n (f 0) in
  for i = 1 to n - 1 do
    Array.unsafe_set a i (f i)
  done;
  a

let blit src src_first dst dst_first n =
  for i = 0 to n - 1 do
    dst.(dst_first + i) <- src.(src_first + i)
  done
