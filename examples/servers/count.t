Lines of standard input, and of files of a folder; the last line needs no end.

  $ printf 'one\ntwo\n\nlast' | ./count.exe
        4 console
  $ ./count.exe < /dev/null
        0 console
  $ mkdir folder; seq 1000 > folder/a; printf 'x' > folder/b
  $ SOIL_MOUNT=/folder=host:folder ./count.exe /folder/a /folder/b
     1000 /folder/a
        1 /folder/b
