A process has Linux's own sockets, and starts no passt. With SOIL_NET=user it does, but not for the loopback.

  $ mkdir bin && printf '#!/bin/sh\ntouch "$PASST_STARTED"\n' > bin/passt && chmod +x bin/passt
  $ export PATH="$PWD/bin:$PATH" PASST_STARTED="$PWD/started"
  $ unset SOIL_NET
  $ ./loopback.exe everyone
  over the loopback
  done
  $ export SOIL_NET=user
  $ ./loopback.exe
  over the loopback
  done
  $ test -e started
  [1]
  $ ./loopback.exe everyone 2> warnings
  over the loopback
  done
  $ timeout 60 sh -c 'until test -e started; do sleep 0.1; done'

What configures Soil's stack is refused with Linux's sockets.

  $ SOIL_NET=host SOIL_IP=10.0.0.2/24 ./loopback.exe everyone 2>&1 | grep -o 'SOIL_IP: the host.*'
  SOIL_IP: the host's own sockets (SOIL_NET=host) are configured by the host: give SOIL_NET=user or tap=DEVICE, or leave SOIL_IP out
