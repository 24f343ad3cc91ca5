A program that keeps to the loopback starts no passt; one that doesn't starts it.

  $ mkdir bin && printf '#!/bin/sh\ntouch "$PASST_STARTED"\n' > bin/passt && chmod +x bin/passt
  $ export PATH="$PWD/bin:$PATH" PASST_STARTED="$PWD/started"
  $ unset SOIL_NET
  $ ./loopback.exe
  over the loopback
  done
  $ test -e started
  [1]
  $ ./loopback.exe everyone 2> warnings
  over the loopback
  done
  $ timeout 60 sh -c 'until test -e started; do sleep 0.1; done'
