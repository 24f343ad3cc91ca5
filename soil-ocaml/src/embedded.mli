(** Files embedded in the program.

    The command [soil embed DIRECTORY] writes a module that calls {!register}. Run it in a rule of
    the program's dune file:
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
    A program with [site] in its [libraries] then has the files below [/www]. *)

val register : at:string -> (string * string) array -> unit
(** [register ~at entries] registers files, each entry a path below [at] and its contents; a path
    that ends in [/] is an empty directory. A lookup by name takes constant time. The files are read
    without a copy ({!Fs.contents}) and never change; a volume that [SOIL_MOUNT] mounts at [at]
    replaces them. String literals of the program are used in place, others are copied. Doesn't
    wait. Raises {!Soil.exception-Error} with [Exists] if a path is duplicate or [at] already has a
    tree, and with [Invalid_name]. *)
