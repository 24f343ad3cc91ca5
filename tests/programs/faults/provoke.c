/* Faults of C, by name. */
#include <caml/mlvalues.h>
#include <stdint.h>
#include <string.h>

static int __attribute__((noinline)) endless(volatile int *depth)
{
  volatile int mine[64];
  mine[0] = *depth + 1;
  return endless(mine) + mine[0];
}

value test_fault(value kind)
{
  volatile int zero = 0;
  const char *name = String_val(kind);
  if (!strcmp(name, "null")) *(volatile int *)(uintptr_t)(zero + 16) = 1;
  else if (!strcmp(name, "code")) *(volatile char *)(uintptr_t)&test_fault = 1;
  else if (!strcmp(name, "stack")) endless(&zero);
  else if (!strcmp(name, "far")) *(volatile int *)(uintptr_t)(0x8000000000000000 + zero) = 1;
#ifdef __aarch64__
  else if (!strcmp(name, "illegal")) __asm__ volatile("udf #0");
  else if (!strcmp(name, "breakpoint")) __asm__ volatile("brk #0");
  else if (!strcmp(name, "hypervisor")) __asm__ volatile("hvc #1");
#else
  else if (!strcmp(name, "illegal")) __asm__ volatile("ud2");
  else if (!strcmp(name, "breakpoint")) __asm__ volatile("int3");
  else if (!strcmp(name, "spurious")) __asm__ volatile("int $15"); /* a machine only */
  else if (!strcmp(name, "divide")) __asm__ volatile("idivl %0" : : "r"(zero), "a"(1), "d"(0));
  else if (!strcmp(name, "float")) {
    unsigned control = 0x1f80 & ~0x200; /* a division by zero isn't masked */
    double one = 1.0;
    __asm__ volatile("ldmxcsr %0; xorpd %%xmm1, %%xmm1; divsd %%xmm1, %1" : : "m"(control), "x"(one) : "xmm1");
  } else if (!strcmp(name, "x87")) {
    unsigned short control = 0x037f & ~4;
    __asm__ volatile("fldcw %0; fldz; fld1; fdivp; fwait" : : "m"(control));
  }
#endif
  return Val_unit;
}
