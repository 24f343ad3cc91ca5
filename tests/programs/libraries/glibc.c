/* Names that only glibc has, called as its headers make programs call them. */
#define _GNU_SOURCE
#include <caml/mlvalues.h>
#include <execinfo.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <inttypes.h>
#include <malloc.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>
#include <wchar.h>

extern int open_without_mode(const char *, int) __asm__("__open64_2");
extern ssize_t checked_pread(int, void *, size_t, off_t, size_t) __asm__("__pread_chk");
extern ssize_t vector_pread(int, const struct iovec *, int, off_t) __asm__("preadv64");
extern ssize_t vector_pwrite(int, const struct iovec *, int, off_t) __asm__("pwritev64");
extern void *checked_mempcpy(void *, const void *, size_t, size_t) __asm__("__mempcpy_chk");
extern size_t checked_mbstowcs(wchar_t *, const char *, size_t, size_t) __asm__("__mbstowcs_chk");
extern int checked_swprintf(wchar_t *, size_t, int, size_t, const wchar_t *, ...) __asm__("__swprintf_chk");
extern intmax_t read_intmax(const char *, char **, int) __asm__("__isoc23_strtoimax");

static ucontext_t caller, generator;
static int produced;

/* Eight arguments: two of them are on the new stack. */
static void produce(int a, int b, int c, int d, int e, int f, int g, int h)
{
  double third = 1.0 / 3.0;
  printf("arguments %d %d %d %d %d %d %d %d\n", a, b, c, d, e, f, g, h);
  for (int i = 1; i <= 3; i++) {
    produced = i * 10;
    swapcontext(&generator, &caller);
  }
  printf("the generator ends, %.3f\n", third);
}

static void contexts(void)
{
  static char stack[64 * 1024] __attribute__((aligned(16)));
  volatile int rounds = 0;
  getcontext(&generator);
  generator.uc_stack.ss_sp = stack;
  generator.uc_stack.ss_size = sizeof stack;
  generator.uc_link = &caller;
  makecontext(&generator, (void (*)(void))produce, 8, 1, 2, 3, 4, 5, 6, 7, 8);
  for (int i = 0; i < 4; i++) {
    swapcontext(&caller, &generator);
    printf("produced %d\n", produced);
  }
  ucontext_t here;
  getcontext(&here);
  printf("round %d\n", ++rounds);
  if (rounds < 3) setcontext(&here);
}

static void protocols(void)
{
  struct protoent entry, *found;
  char room[1024];
  int status = getprotobyname_r("udp", &entry, room, sizeof room, &found);
  printf("udp: %d %d %s\n", status, found == &entry, status == 0 && found ? entry.p_name : "-");
  status = getprotobynumber_r(6, &entry, room, sizeof room, &found);
  printf("6: %d %s %d\n", status, found ? entry.p_name : "-", found ? entry.p_proto : -1);
  status = getprotobyname_r("no such protocol", &entry, room, sizeof room, &found);
  printf("none: %d %d\n", status, found == NULL);
}

static int differ(const unsigned char *bytes, int count)
{
  int different = 0;
  for (int i = 1; i < count; i++) different += bytes[i] != bytes[i - 1];
  return different > count / 2;
}

value test_glibc_names(value file)
{
  char text[32];
  wchar_t wide[16];
  unsigned char random[300] = { 0 };
  contexts();
  protocols();
  int fd = open_without_mode(String_val(file), O_RDONLY);
  ssize_t count = checked_pread(fd, text, 5, 3, sizeof text);
  printf("pread %d %.5s\n", (int)count, text);
  close(fd);
  struct iovec pieces[] = { { "ab", 2 }, { "cde", 3 } };
  fd = open(String_val(file), O_RDWR);
  count = vector_pwrite(fd, pieces, 2, 5);
  struct iovec read_back[] = { { text, 1 }, { text + 1, 5 } };
  int read_count = vector_pread(fd, read_back, 2, 4);
  printf("pwritev %d, preadv %d %.6s\n", (int)count, read_count, text);
  close(fd);
  char *renamed = strdup(String_val(file));
  renamed[strlen(renamed) - 1] = 'x';
  int status = renameat2(AT_FDCWD, String_val(file), AT_FDCWD, renamed, RENAME_NOREPLACE);
  printf("renamed %d, there %d %d\n", status, access(renamed, F_OK), access(String_val(file), F_OK));
  char *path = canonicalize_file_name(renamed);
  printf("canonical %s\n", path && path[0] == '/' && !strcmp(strrchr(path, '/'), strrchr(renamed, '/')) ? "path" : "none");
  unlink(renamed);
  *(char *)checked_mempcpy(text, "copied", 6, sizeof text) = 0;
  printf("%s %d\n", text, (int)checked_mbstowcs(wide, "wide", 16, 16));
  printf("%d %jd\n", checked_swprintf(wide, 16, 1, 16, L"%d-%.1f", 12, 1.5), read_intmax("0x1f", NULL, 0));
  printf("%td %td\n", (char *)rawmemchr(text, 'p') - text, strchr(text, 'd') - text);
  dev_t device = makedev(0x12345, 0x6789a);
  printf("device %x %x\n", major(device), minor(device));
  arc4random_buf(random, sizeof random);
  printf("random %d, below 7: %d, below 1: %u\n", differ(random, sizeof random), arc4random_uniform(7) < 7, arc4random_uniform(1));
  printf("version 2.34 or later: %d\n", strverscmp(gnu_get_libc_version(), "2.34") >= 0);
  void *frames[4];
  printf("frames %d\n", backtrace(frames, 4) >= 0);
  struct mallinfo2 memory;
  memset(&memory, 255, sizeof memory);
  memory = mallinfo2();
  printf("free chunks %d\n", memory.smblks < 1000);
  fflush(stdout);
  return Val_unit;
}
