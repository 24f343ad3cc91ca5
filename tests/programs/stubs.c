/* Failures that OCaml can't express: the ways in which C goes wrong. */
#define _GNU_SOURCE
#include <caml/mlvalues.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

value test_abort(value unit)
{
  (void)unit;
  abort();
}

/* The errno of `result`, 0 where it isn't -1. */
static int error_of(long result)
{
  return result == -1 ? errno : 0;
}

/* The results of the console's calls for pointers that aren't the program's; standard input needs a
   line. */
value test_bad_pointers(value which)
{
  /* Volatile, for the compiler warns of what this is about. */
  volatile uintptr_t low = 0x10, high = 0x0000700000000000, last = ~(uintptr_t)0xfff;
  char *nowhere = (char *)low, *far = (char *)high;
  static const char constant[] = "constant";
  struct iovec pieces[] = { { "piece ", 6 }, { far, 10 } };
  switch (Int_val(which)) {
  case 0: return Val_int(error_of(write(1, nowhere, 10)));
  case 1: return Val_int(error_of(write(2, far, 10)));
  case 2: return Val_int(error_of(write(1, (char *)last, 0x2000)));
  case 3: return Val_int(error_of(read(0, nowhere, 10)));
  case 4: return Val_int(error_of(read(0, (char *)(uintptr_t)constant, 4)));
  case 5: return Val_int(error_of(writev(1, (struct iovec *)far, 2)));
  case 6: return Val_int(error_of(writev(1, pieces + 1, 1)));
  case 7: return Val_int(-writev(1, pieces, 2));
  default: return Val_int(error_of(write(1, NULL, 0)));
  }
}

/* acct: no program that runs here has a use for it. On Linux it fails too, for want of a file. */
value test_unknown_call(value unit)
{
  (void)unit;
  errno = 0;
  syscall(SYS_acct, "/nonexistent");
  return Val_int(errno);
}
