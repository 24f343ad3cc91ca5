Soil.exit unwinds all tasks; Stdlib.exit unwinds none.

  $ ./ends.exe exit
  unwound
  at_exit
  [5]
  $ ./ends.exe "exit in a task"
  unwound
  at_exit
  [6]
  $ ./ends.exe "exit in a handler"
  unwound
  at_exit
  [9]

  $ ./ends.exe "exit in a domain"
  unwound
  unwound
  at_exit
  [4]
  $ ./ends.exe "exit in a child"
  unwound
  at_exit
  [8]
  $ ./ends.exe "stdlib exit in a task"
  at_exit
  [7]

An uncaught error is printed as one line of text.

  $ ./ends.exe uncaught 2>&1 | head -n 2
  at_exit
  Fatal error: exception Soil.Error: test subject: in use
  $ ./ends.exe "uncaught outside" 2> errors
  at_exit
  [2]
  $ head -n 1 errors
  Fatal error: exception Soil.Error: test subject: in use
  $ ./ends.exe deadlock 2>&1 | head -n 2
  at_exit
  Fatal error: exception Soil.Error: run: the only task waits for something that can't happen any more

What is reported of a connection's handler is in the words of the printers that the program has registered, and of Soil's own.

  $ SOIL_NET=none ./ends.exe report 2>&1 | grep exception | sed 's/:[0-9]*: / /'
  tcp 127.0.0.1 exception in its own words
  tcp 127.0.0.1 exception Soil.Error: o s: in use

A report that can't be written ends nothing: the server goes on with its next connection, and the supervisor with the next start.

  $ SOIL_NET=none ./ends.exe report 2> /dev/full
  at_exit
  $ ./ends.exe restart 2> /dev/full
  start 1
  start 2
  start 3
  at_exit
  $ ./ends.exe uncaught 2> /dev/full
  at_exit
  [2]
  $ ./ends.exe needs 2> /dev/full
  at_exit
  [125]

SIGTERM and SIGINT cancel everything. The shell ignores SIGINT for what runs in the background.

  $ ended_by() {
  >   : > out
  >   env --default-signal=INT,TERM ./ends.exe "${2-sleep}" > out &
  >   pid=$!
  >   for i in $(seq 2400); do
  >     if grep -q waiting out; then break; fi
  >     sleep 0.05
  >   done
  >   kill -s $1 $pid
  >   wait $pid
  >   status=$?
  >   cat out
  >   return $status
  > }
  $ ended_by TERM
  waiting
  unwound
  at_exit
  [143]
  $ ended_by INT
  waiting
  unwound
  at_exit
  [143]

  $ ended_by TERM "sleep in domains"
  waiting
  unwound
  unwound
  unwound
  at_exit
  [143]

What doesn't end by being cancelled ends ten seconds after the request.

  $ ended_by TERM "keep on"
  waiting
  at_exit
  [143]
