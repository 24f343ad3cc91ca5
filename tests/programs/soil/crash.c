/* Crashes of C, by name. */
#define _GNU_SOURCE
#include <caml/mlvalues.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int __attribute__((noinline)) endless(volatile int *depth)
{
  volatile int mine[64];
  mine[0] = *depth + 1;
  return endless(mine) + mine[0];
}

static void *__attribute__((noinline)) write_to_null(void *zero)
{
  ((volatile int *)zero)[4] = 1;
  return zero;
}

/* As soon as the first thread sleeps. */
static void *write_beside(void *zero)
{
  for (char state = 0; state != 'S';) {
    FILE *file = fopen("/proc/self/stat", "r");
    if (!file || fscanf(file, "%*d (%*[^)]) %c", &state) != 1) abort();
    fclose(file);
  }
  return write_to_null(zero);
}

static void handle(int signal)
{
  static const char text[] = "its own handler\n";
  (void)!write(1, text, sizeof text - 1);
  _exit(signal);
}

value test_crash(value kind)
{
  volatile int zero = 0;
  const char *name = String_val(kind);
  if (!strcmp(name, "null")) write_to_null((void *)(uintptr_t)zero);
  else if (!strcmp(name, "stack")) endless(&zero);
  else if (!strcmp(name, "abort")) abort();
  else if (!strcmp(name, "thread")) {
    pthread_t thread;
    pthread_create(&thread, NULL, write_beside, NULL);
    pthread_join(thread, NULL);
  } else if (!strcmp(name, "bus")) {
    FILE *empty = tmpfile();
    *(volatile char *)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(empty), 0) = 1;
  } else if (!strcmp(name, "handle")) {
    struct sigaction action = { .sa_handler = handle, .sa_flags = SA_ONSTACK };
    sigaction(SIGILL, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);
  }
#ifdef __aarch64__
  else if (!strcmp(name, "illegal")) __asm__ volatile("udf #0");
#else
  else if (!strcmp(name, "illegal")) __asm__ volatile("ud2");
  else if (!strcmp(name, "divide")) __asm__ volatile("idivl %0" : : "r"(zero), "a"(1), "d"(0));
#endif
  return Val_unit;
}
