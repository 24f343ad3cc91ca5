// A stub that throws and catches.
#include <caml/mlvalues.h>

static long __attribute__((noinline)) thrower(long number) { throw number; }

extern "C" value thrown_caught(value number)
{
  try {
    return Val_long(thrower(Long_val(number)) + 1);
  } catch (long caught) {
    return Val_long(caught);
  }
}
