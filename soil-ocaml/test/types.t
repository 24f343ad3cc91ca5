What a descriptor can't do is an error of the compiler, which names the tag that is missing. Quotes
are left out: not each version of the compiler has them.

  $ compile () {
  >   { echo 'open Soil'
  >     echo 'let f (l : Tcp.listener) (c : Tcp.connection) (file : Fs.file) ='
  >     echo '  ignore (l, c, file);'
  >     echo "  $1"; } > program.ml
  >   ocamlc -color never -short-paths -I ../src/.soil.objs/public_cmi -c program.ml >messages 2>&1
  >   set -- $?
  >   tr -d '"' <messages
  >   return $1
  > }
  $ compile 'File_descriptor.read l (Bytes.create 1) 0 1'
  File program.ml, line 4, characters 23-24:
  4 |   File_descriptor.read l (Bytes.create 1) 0 1
                             ^
  Error: The value l has type
           Tcp.listener = [ `Listener | `Tcp ] File_descriptor.t
         but an expression was expected of type [> `Read ] File_descriptor.t
         The first variant type does not allow tag(s) `Read
  [2]
  $ compile 'File_descriptor.write_string l "x"'
  File program.ml, line 4, characters 31-32:
  4 |   File_descriptor.write_string l x
                                     ^
  Error: The value l has type
           Tcp.listener = [ `Listener | `Tcp ] File_descriptor.t
         but an expression was expected of type [> `Write ] File_descriptor.t
         The first variant type does not allow tag(s) `Write
  [2]
  $ compile 'Fs.seek c 0'
  File program.ml, line 4, characters 10-11:
  4 |   Fs.seek c 0
                ^
  Error: The value c has type
           Tcp.connection =
             [ `Connection | `Read | `Shutdown | `Tcp | `Write ]
             File_descriptor.t
         but an expression was expected of type [> `File ] File_descriptor.t
         The first variant type does not allow tag(s) `File
  [2]
  $ compile 'Tcp.accept file'
  File program.ml, line 4, characters 13-17:
  4 |   Tcp.accept file
                   ^^^^
  Error: The value file has type
           Fs.file = [ `File | `Read | `Write ] File_descriptor.t
         but an expression was expected of type
           [> `Listener ] File_descriptor.t
         The first variant type does not allow tag(s) `Listener
  [2]
  $ compile 'Tcp.peer l'
  File program.ml, line 4, characters 11-12:
  4 |   Tcp.peer l
                 ^
  Error: The value l has type
           Tcp.listener = [ `Listener | `Tcp ] File_descriptor.t
         but an expression was expected of type
           [> `Connection ] File_descriptor.t
         The first variant type does not allow tag(s) `Connection
  [2]
  $ compile 'File_descriptor.shutdown (File_descriptor.of_console ()) `Send'
  File program.ml, line 4, characters 27-58:
  4 |   File_descriptor.shutdown (File_descriptor.of_console ()) `Send
                                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  Error: This expression has type
           File_descriptor.console = [ `Read | `Write ] File_descriptor.t
         but an expression was expected of type
           [> `Shutdown ] File_descriptor.t
         The first variant type does not allow tag(s) `Shutdown
  [2]
  $ compile 'File_descriptor.read (snd (pipe ())) (Bytes.create 1) 0 1'
  File program.ml, line 4, characters 23-38:
  4 |   File_descriptor.read (snd (pipe ())) (Bytes.create 1) 0 1
                             ^^^^^^^^^^^^^^^
  Error: This expression has type [ `Shutdown | `Write ] File_descriptor.t
         but an expression was expected of type [> `Read ] File_descriptor.t
         The first variant type does not allow tag(s) `Read
  [2]
  $ compile 'Reader.create (Udp.bind ~port:0 ())'
  File program.ml, line 4, characters 16-37:
  4 |   Reader.create (Udp.bind ~port:0 ())
                      ^^^^^^^^^^^^^^^^^^^^^
  Error: This expression has type Udp.socket = [ `Udp ] File_descriptor.t
         but an expression was expected of type [> `Read ] File_descriptor.t
         The first variant type does not allow tag(s) `Read
  [2]
  $ compile 'Zero_copy.receive file'
  File program.ml, line 4, characters 20-24:
  4 |   Zero_copy.receive file
                          ^^^^
  Error: The value file has type
           Fs.file = [ `File | `Read | `Write ] File_descriptor.t
         but an expression was expected of type
           [> `Connection ] File_descriptor.t
         The first variant type does not allow tag(s) `Connection
  [2]
  $ compile 'Bound.connect l (Tcp.local l)'
  File program.ml, line 4, characters 16-17:
  4 |   Bound.connect l (Tcp.local l)
                      ^
  Error: The value l has type
           Tcp.listener = [ `Listener | `Tcp ] File_descriptor.t
         but an expression was expected of type [> `Bound ] File_descriptor.t
         The first variant type does not allow tag(s) `Bound
  [2]
  $ compile '(l :> File_descriptor.source)'
  File program.ml, line 4, characters 2-31:
  4 |   (l :> File_descriptor.source)
        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  Error: Type Tcp.listener = [ `Listener | `Tcp ] File_descriptor.t
         is not a subtype of
           File_descriptor.source = [ `Read ] File_descriptor.t
         Type [ `Read ] is not a subtype of [ `Listener | `Tcp ]
         These two variant types have no intersection
  [2]

What it can do needs no coercion, and a coercion forgets the rest.

  $ compile 'File_descriptor.copy ~src:c ~dst:file ()'
  $ compile '[ (c :> File_descriptor.source); (file :> File_descriptor.source) ]'
  $ compile 'fun d -> File_descriptor.(write_string d "x"; close d)'
