A declaration is what the program uses, and has no effect of its own.

  $ ./declares.exe all
  beginning of a line
  /var/data raw eth0 eth1 80 53 5353
  at_exit
  $ SOIL_NEEDS= ./declares.exe none
  runs
  at_exit

Asked, the program prints its needs in place of running, and runs nothing at exit.

  $ SOIL_NEEDS=json ./declares.exe all | tr '\036' '!'
  beginning of a line
  !{"soil_needs":1,"needs":[{"kind":"volume","name":"data","at":"/var/data","file_systems":["ext4","fat"],"at_least":67108864,"read_only":false,"optional":false,"doc":"what \"users\"\\write"},{"kind":"disk","name":"raw","at_least":4096,"read_only":true,"optional":true,"doc":""},{"kind":"net","name":"inside","doc":""},{"kind":"net","name":"outside","doc":""},{"kind":"port","name":"http","number":80,"protocol":"tcp","doc":""},{"kind":"port","name":"names","number":53,"protocol":"udp","doc":""},{"kind":"port","name":"both","number":5353,"protocol":"both","doc":""},{"kind":"memory","bytes":8388608},{"kind":"cpus","count":1}]}
  $ SOIL_NEEDS=json ./declares.exe none | tr '\036' '!'
  
  !{"soil_needs":1,"needs":[]}
  $ SOIL_NEEDS=json ./declares.exe ends | tr '\036' '!'
  
  !{"soil_needs":1,"needs":[],"ends":{"status":2,"output":"a\u000a","error":"\u0009\"\\"}}
  $ ./declares.exe ends
  not asked
  at_exit
  $ SOIL_NEEDS=xml ./declares.exe none 2>&1 | head -n 2
  at_exit
  Fatal error: exception Soil.Error: needs SOIL_NEEDS: SOIL_NEEDS has to be json or ignore

What can't be a need is refused.

  $ ./declares.exe refused
  empty: Soil.Needs.volume: a name has 1 to 20 small letters, digits or '_'
  capital: Soil.Needs.volume: a name has 1 to 20 small letters, digits or '_'
  long: Soil.Needs.volume: a name has 1 to 20 small letters, digits or '_'
  longest: accepted
  first: accepted
  twice: Soil.Needs.disk: data is declared twice
  relative: Soil.Needs.volume: at isn't an absolute path
  up: Soil.Needs.volume: at isn't an absolute path
  two places: Soil.Needs.volume: at isn't an absolute path
  lines: Soil.Needs.net: doc isn't one line of text
  negative: Soil.Needs.disk: at_least is negative
  port 0: Soil.Needs.port: not between 1 and 65535
  port 65536: Soil.Needs.port: not between 1 and 65535
  no memory: Soil.Needs.memory: not a number of bytes
  no processor: Soil.Needs.cpus: less than one processor
  too many: Soil.Needs.gib: not a number of bytes
  late: Soil.Needs.volume: after Soil.run has begun
  late: Soil.Needs.memory: after Soil.run has begun
  at_exit
