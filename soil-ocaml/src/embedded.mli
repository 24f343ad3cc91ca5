(** Files that are part of the program.

    [soil embed DIRECTORY] writes a module that calls {!register}, in a rule of the user's dune
    file:
    {v
    (library
     (name site)
     (library_flags (-linkall))
     (libraries soil))

    (rule
     (deps (source_tree www))
     (action
      (with-stdout-to site.ml
       (run soil embed www --at /www))))
    v}
    A program that has [site] among its [libraries] then finds the files below [/www]. *)

val register : at:string -> (string * string) array -> unit
(** [register ~at entries] makes files of [entries], each a path below [at] and its contents; one
    that ends in [/] is an empty directory. They are found by name in constant time, read without a
    copy ({!Fs.contents}), and never change; what [SOIL_MOUNT] mounts at [at] comes in their place.
    Strings that are literals of the program are used where they lie, others are copied. Doesn't
    wait. Raises {!Soil.exception-Error} with [Exists] if a path is given twice, or a tree at [at],
    and with [Invalid_name]. *)
