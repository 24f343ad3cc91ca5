include Input

let create ?(size = 4096) d = create size (Typed.any d)
let to_end ?(max = Descriptor.default_max) r = to_end max r

module Text = Reader_text
module Bigarray = Reader_bigarray
module BE = Reader_be
module LE = Reader_le
