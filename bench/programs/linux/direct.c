/* Direct disk access, which OCaml's Unix has no name for. */
#define _GNU_SOURCE
#include <caml/alloc.h>
#include <caml/bigarray.h>
#include <caml/fail.h>
#include <caml/memory.h>
#include <caml/unixsupport.h>
#include <fcntl.h>
#include <stdlib.h>

value bench_open_direct(value path)
{
  int fd = open(String_val(path), O_RDONLY | O_DIRECT | O_CLOEXEC);
  if (fd < 0) caml_uerror("open", path);
  return Val_int(fd);
}

/* Page-aligned memory, never freed: the programs make one buffer each. */
value bench_aligned(value length)
{
  void *data = NULL;
  intnat n = Long_val(length);
  if (posix_memalign(&data, 4096, n)) caml_raise_out_of_memory();
  return caml_ba_alloc(CAML_BA_CHAR | CAML_BA_C_LAYOUT, 1, data, &n);
}
