/* Sleeps of a millisecond by the calls that wait for descriptors, given none. */

#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <sys/select.h>
#include <time.h>

#include <caml/mlvalues.h>
#include <caml/signals.h>

/* By the `kind`-th way, without OCaml's lock; returns whether it found no descriptor ready. */
value sleep_by(value kind)
{
  struct timeval micro = { .tv_usec = 1000 };
  struct timespec nano = { .tv_nsec = 1000000 };
  fd_set none;
  sigset_t mask;
  int result = -1;
  caml_enter_blocking_section();
  FD_ZERO(&none);
  sigemptyset(&mask);
  switch (Int_val(kind)) {
  case 0: result = select(0, NULL, NULL, NULL, &micro); break;
  case 1: result = select(64, &none, NULL, &none, &micro); break;
  case 2: result = pselect(0, NULL, NULL, NULL, &nano, &mask); break;
  case 3: result = pselect(64, NULL, &none, NULL, &nano, NULL); break;
  case 4: result = poll(NULL, 0, 1); break;
  case 5: result = ppoll(NULL, 0, &nano, &mask); break;
  }
  caml_leave_blocking_section();
  return Val_bool(result == 0);
}
