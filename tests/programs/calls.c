/* System calls as C makes them: on Linux and in an image the printed results are the same. */
#define _GNU_SOURCE
#include <caml/mlvalues.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096

static void say(const char *what, long result)
{
  if (result < 0) printf("%s: errno %d\n", what, errno);
  else printf("%s: %ld\n", what, result);
  fflush(stdout);
}

static void *pages(int count, int protection)
{
  void *start = mmap(NULL, count * PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) abort();
  return start;
}

struct call { const char *name; long number; long arguments[6]; int at; };

enum { BAD = 6, CONSTANT = 2 };
static const char constant[64] = { 1, 2, 3 };
static char *gone, *two;

/* The errors of each call for addresses that can't be written: unmapped, closed, read-only (a
   constant), the second page, no address at all, the other half of the address space. With `reads`
   only those that can't be read. */
static void try_each(const struct call *calls, unsigned count, int reads)
{
  /* In the middle of a gap, of which something else may get the beginning. */
  gone = pages(64, PROT_READ | PROT_WRITE);
  munmap(gone, 64 * PAGE);
  gone += 32 * PAGE;
  two = pages(2, PROT_READ | PROT_WRITE);
  munmap(two + PAGE, PAGE);
  two[PAGE - 1] = 'x';
  const uintptr_t bad[BAD] = {
    (uintptr_t)gone, (uintptr_t)pages(1, PROT_NONE), (uintptr_t)constant & ~7ul,
    (uintptr_t)two + PAGE - 1, 0x8000000000000000, -4096ul,
  };
  for (unsigned i = 0; i < count; i++) {
    printf("%s:", calls[i].name);
    for (unsigned j = 0; j < BAD; j++) {
      if (reads && j == CONSTANT) continue;
      long a[6];
      memcpy(a, calls[i].arguments, sizeof a);
      a[calls[i].at] = bad[j];
      long result = syscall(calls[i].number, a[0], a[1], a[2], a[3], a[4], a[5]);
      if (result < 0) printf(" %d", errno); else printf(" ok");
    }
    printf("\n");
  }
}

#define TRY_EACH(calls, reads) try_each(calls, sizeof calls / sizeof *calls, reads)

static void pointers(void)
{
  static const struct call writes[] = {
    { "uname", SYS_uname, { 0 }, 0 },
    { "clock_gettime", SYS_clock_gettime, { 0 }, 1 },
    { "clock_getres", SYS_clock_getres, { 0 }, 1 },
    { "gettimeofday", SYS_gettimeofday, { 0 }, 0 },
    { "times", SYS_times, { 0 }, 0 },
    { "getrusage", SYS_getrusage, { 0 }, 1 },
    { "getrlimit", SYS_getrlimit, { 7 }, 1 },
    { "prlimit64", SYS_prlimit64, { 0, 7 }, 3 },
    { "getcwd", SYS_getcwd, { 0, 4096 }, 0 },
    { "newfstatat", SYS_newfstatat, { AT_FDCWD, (long)"/" }, 2 },
    { "fstat", SYS_fstat, { 1 }, 1 },
    { "ppoll", SYS_ppoll, { 0, 1 }, 0 },
    { "rt_sigaction", SYS_rt_sigaction, { SIGUSR1, 0, 0, 8 }, 2 },
    { "rt_sigprocmask", SYS_rt_sigprocmask, { SIG_BLOCK, 0, 0, 8 }, 2 },
    { "rt_sigpending", SYS_rt_sigpending, { 0, 8 }, 0 },
    { "sigaltstack", SYS_sigaltstack, { 0 }, 1 },
    { "sched_getaffinity", SYS_sched_getaffinity, { 0, 128 }, 2 },
  };
  static const struct call reads[] = {
    { "openat", SYS_openat, { AT_FDCWD }, 1 },
    { "faccessat", SYS_faccessat, { AT_FDCWD }, 1 },
    { "nanosleep", SYS_nanosleep, { 0 }, 0 },
    { "rt_sigsuspend", SYS_rt_sigsuspend, { 0, 8 }, 0 },
  };
  TRY_EACH(writes, 0);
  TRY_EACH(reads, 1);
  strcpy(two + PAGE - 9, "/missing");
  say("a path at the end of its page", syscall(SYS_openat, AT_FDCWD, two + PAGE - 9, 0));
  say("writev, no vector", syscall(SYS_writev, 1, gone, 1));
  struct iovec vector = { gone, 1 };
  say("writev, a bad one", syscall(SYS_writev, 1, &vector, 1));
  say("write", syscall(SYS_write, 1, gone, 1));
  say("write nothing", syscall(SYS_write, 1, NULL, 0));
  say("writev nothing", syscall(SYS_writev, 1, NULL, 0));
  say("getrandom", syscall(SYS_getrandom, gone, 16, 0));
  say("none of them", syscall(SYS_getrandom, NULL, 0, 0));
  say("futex", syscall(SYS_futex, gone, FUTEX_WAIT_PRIVATE, 0, NULL));
}

static long long now(void)
{
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000ll + time.tv_nsec;
}

static void took(const char *what, long result, long long began)
{
  printf("%s: %ld, errno %d, waited: %d\n", what, result, result < 0 ? errno : 0, now() - began >= 20000000);
}

static void waits(void)
{
  const struct timespec some = { 0, 20000000 }, wrong = { 0, -1 }, zero = { 0, 0 };
  int word = 7;
  long long began = now();
  took("poll", poll(NULL, 0, 20), began);
  began = now();
  struct timespec copy = some;
  took("ppoll", syscall(SYS_ppoll, NULL, 0, &copy, NULL, 8), began);
  began = now();
  took("select", select(0, NULL, NULL, NULL, &(struct timeval){ 0, 20000 }), began);
  began = now();
  copy = some;
  took("pselect", syscall(SYS_pselect6, 0, NULL, NULL, NULL, &copy, NULL), began);
  began = now();
  took("nanosleep", syscall(SYS_nanosleep, &some, NULL), began);
  began = now();
  took("futex", syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 7, &some), began);
  say("futex, another value", syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 8, &some));
  say("futex, a wrong time", syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 7, &wrong));
  say("futex, no time", syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 7, &zero));
  say("futex, half a word", syscall(SYS_futex, (char *)&word + 1, FUTEX_WAIT_PRIVATE, 7, &zero));
  say("futex, nobody to wake", syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1));
  say("nanosleep, a wrong time", syscall(SYS_nanosleep, &wrong, NULL));
  say("ppoll, a wrong time", syscall(SYS_ppoll, NULL, 0, &wrong, NULL, 8));
  say("select, a wrong time", select(0, NULL, NULL, NULL, &(struct timeval){ -1, 0 }));
  copy = wrong;
  say("pselect, a wrong time", syscall(SYS_pselect6, 0, NULL, NULL, NULL, &copy, NULL));
  say("select, a wrong number", select(-1, NULL, NULL, NULL, NULL));
  fd_set writes, beyond;
  FD_ZERO(&writes);
  FD_SET(1, &writes);
  FD_ZERO(&beyond);
  FD_SET(40, &beyond);
  say("select for writing", select(2, NULL, &writes, NULL, NULL));
  printf("can write: %d\n", FD_ISSET(1, &writes));
  copy = zero;
  say("beyond the number", pselect(2, &beyond, NULL, NULL, &copy, NULL));
  FD_SET(40, &beyond);
  say("not open", select(41, &beyond, NULL, NULL, NULL));
  struct pollfd polled[] = { { 1, POLLOUT, 0 }, { 40, POLLIN, 0 }, { -1, POLLIN, 9 } };
  say("poll of three", poll(polled, 3, -1));
  printf("events: %d %d %d\n", polled[0].revents, polled[1].revents, polled[2].revents);
}

/* The calls that x86-64 has beside newer ones. */
static void legacy(void)
{
#ifdef SYS_open
  static const struct call writes[] = {
    { "time", SYS_time, { 0 }, 0 },
    { "stat", SYS_stat, { (long)"/" }, 1 },
    { "poll", SYS_poll, { 0, 1, 0 }, 0 },
  };
  static const struct call reads[] = {
    { "open", SYS_open, { 0, 0 }, 0 },
    { "access", SYS_access, { 0, 0 }, 0 },
  };
  TRY_EACH(writes, 0);
  TRY_EACH(reads, 1);
  struct timeval some = { 0, 20000 }, wrong = { -1, 0 };
  long long began = now();
  took("select", syscall(SYS_select, 0, NULL, NULL, NULL, &some), began);
  printf("left of select's time: %ld %ld\n", (long)some.tv_sec, (long)some.tv_usec);
  say("select, a wrong time", syscall(SYS_select, 0, NULL, NULL, NULL, &wrong));
#endif
}

static void descriptors(void)
{
  char byte = 0;
  struct pollfd polled = { 0, POLLIN, 0 };
  fd_set reads;
  char stat[256];
  say("close what isn't open", close(40));
  say("close 0", close(0));
  say("close 0 again", close(0));
  say("read 0", syscall(SYS_read, 0, &byte, 1));
  say("fstat 0", syscall(SYS_fstat, 0, stat));
  say("lseek 0", syscall(SYS_lseek, 0, 0, 0));
  say("ioctl 0", syscall(SYS_ioctl, 0, 0x5401, stat));
  say("fcntl 0", syscall(SYS_fcntl, 0, 3));
  say("poll 0", poll(&polled, 1, -1));
  printf("invalid: %d\n", polled.revents == POLLNVAL);
  FD_ZERO(&reads);
  FD_SET(0, &reads);
  say("select 0", select(1, &reads, NULL, NULL, NULL));
  say("close 2", close(2));
  say("write 2", syscall(SYS_write, 2, &byte, 1));
  say("fstat 1", syscall(SYS_fstat, 1, stat));
  fflush(stdout);
  if (close(1) != 0) exit(3);
  if (syscall(SYS_write, 1, "x", 1) != -1 || errno != EBADF) exit(4);
}

static volatile int depth;
static char *volatile alternate;
static sigjmp_buf back;

static int blocked(int signal)
{
  sigset_t mask;
  sigprocmask(SIG_BLOCK, NULL, &mask);
  return sigismember(&mask, signal);
}

static void told(int number, siginfo_t *information, void *context)
{
  stack_t stack;
  int here;
  sigaltstack(NULL, &stack);
  printf("handler of %d: si_signo %d, by %s, from itself: %d, context: %d\n", number, information->si_signo,
    information->si_code == SI_USER ? "kill" : information->si_code == SI_TKILL ? "raise" : "?",
    information->si_pid == getpid(), context != NULL);
  printf("  blocked: itself %d, USR1 %d, USR2 %d; other stack: %d, says so: %d\n", blocked(number), blocked(SIGUSR1), blocked(SIGUSR2),
    alternate && (char *)&here >= alternate && (char *)&here < alternate + 65536, stack.ss_flags == SS_ONSTACK);
  if (stack.ss_flags == SS_ONSTACK) say("  change it now", sigaltstack(&(stack_t){ .ss_flags = SS_DISABLE }, NULL));
}

static void plain(int number)
{
  printf("plain handler of %d, depth %d\n", number, depth);
  if (depth++ == 0) raise(number);
  printf("  at its end, depth %d\n", depth);
}

static void jumps(int number)
{
  siglongjmp(back, number);
}

/* Handlers that begin elsewhere on the stack than the first one. */
static volatile int runs, elsewhere;
static char *volatile first;

/* Its signal is pending again at its end. */
static void once_more(int number)
{
  char here;
  if (runs == 0) first = &here;
  elsewhere += &here != first;
  if (++runs < 100) raise(number);
}

static void raises_usr2(int number)
{
  printf("handler of %d\n", number);
  raise(SIGUSR2);
}

static void on(int number, void *handler, int flags, int also)
{
  struct sigaction action = { .sa_flags = flags };
  action.sa_handler = (void (*)(int))handler;
  sigemptyset(&action.sa_mask);
  if (also) sigaddset(&action.sa_mask, also);
  if (sigaction(number, &action, NULL) < 0) say("sigaction", -1);
}

static void signals(void)
{
  struct sigaction old;
  stack_t stack = { 0 }, none = { .ss_flags = SS_DISABLE };
  sigset_t set, pending, empty;
  sigemptyset(&empty);
  double kept = 1.5;

  on(SIGUSR1, told, SA_SIGINFO, 0);
  say("raise", raise(SIGUSR1));
  say("kill", kill(getpid(), SIGUSR1));
  on(SIGUSR1, told, SA_SIGINFO | SA_NODEFER, SIGUSR2);
  kill(getpid(), SIGUSR1);
  printf("afterwards: USR1 %d, USR2 %d, %g\n", blocked(SIGUSR1), blocked(SIGUSR2), kept * 2);

  on(SIGUSR1, plain, 0, 0);
  raise(SIGUSR1);
  depth = 0;
  on(SIGUSR1, plain, SA_NODEFER, 0);
  raise(SIGUSR1);
  on(SIGUSR1, plain, SA_RESETHAND, 0);
  depth = 1;
  raise(SIGUSR1);
  sigaction(SIGUSR1, NULL, &old);
  printf("reset: %d\n", old.sa_handler == SIG_DFL);

  /* Two that wait: both are begun, the later one first. */
  on(SIGUSR1, told, SA_SIGINFO, 0);
  on(SIGUSR2, told, SA_SIGINFO, 0);
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGUSR2);
  sigprocmask(SIG_BLOCK, &set, NULL);
  raise(SIGUSR1);
  raise(SIGUSR2);
  sigpending(&pending);
  printf("pending: %d %d\n", sigismember(&pending, SIGUSR1), sigismember(&pending, SIGUSR2));
  sigprocmask(SIG_UNBLOCK, &set, NULL);

  /* A wait that lets one in. */
  sigprocmask(SIG_BLOCK, &set, NULL);
  raise(SIGUSR1);
  say("sigsuspend", sigsuspend(&empty));
  raise(SIGUSR1);
  say("ppoll", ppoll(NULL, 0, NULL, &empty));
  raise(SIGUSR1);
  say("pselect", pselect(0, NULL, NULL, NULL, NULL, &empty));
  say("pselect in vain", pselect(0, NULL, NULL, NULL, &(struct timespec){ 0, 1000 }, &empty));
  printf("still blocked: %d %d\n", blocked(SIGUSR1), blocked(SIGUSR2));
  sigprocmask(SIG_UNBLOCK, &set, NULL);

  /* Another stack. */
  say("a small stack", sigaltstack(&(stack_t){ .ss_sp = &set, .ss_size = 100 }, NULL));
  alternate = malloc(65536);
  stack.ss_sp = alternate;
  stack.ss_size = 65536;
  say("sigaltstack", sigaltstack(&stack, NULL));
  memset(&stack, 0, sizeof stack);
  say("the old one", sigaltstack(NULL, &stack));
  printf("as given: %d %d %d\n", stack.ss_sp == alternate, stack.ss_flags, stack.ss_size == 65536);
  on(SIGUSR1, told, SA_SIGINFO | SA_ONSTACK, 0);
  raise(SIGUSR1);
  on(SIGUSR1, raises_usr2, 0, SIGUSR2);
  on(SIGUSR2, told, SA_SIGINFO | SA_ONSTACK, 0);
  raise(SIGUSR1);
  on(SIGUSR1, raises_usr2, SA_ONSTACK, SIGUSR2);
  on(SIGUSR2, plain, 0, 0);
  depth = 1;
  raise(SIGUSR1);
  for (int flags = SA_ONSTACK; flags >= 0; flags -= SA_ONSTACK) {
    on(SIGUSR1, once_more, flags, 0);
    runs = elsewhere = 0;
    raise(SIGUSR1);
    printf("handlers, one after another: %d, elsewhere on the stack: %d\n", runs, elsewhere);
  }
  on(SIGUSR1, told, SA_SIGINFO | SA_ONSTACK, 0);
  say("without", sigaltstack(&none, NULL));
  raise(SIGUSR1);

  on(SIGUSR1, jumps, 0, 0);
  int jumped = sigsetjmp(back, 1);
  if (!jumped) raise(SIGUSR1);
  printf("jumped: %d, blocked: %d\n", jumped == SIGUSR1, blocked(SIGUSR1));

  say("ignored by default", raise(SIGCHLD));
  signal(SIGUSR2, SIG_IGN);
  say("ignored", raise(SIGUSR2));
  say("no such signal", kill(getpid(), 65));
  say("is it there", kill(getpid(), 0));
  say("nobody", kill(getpid() + 1000000, SIGUSR1));
  say("SIGKILL's handler", syscall(SYS_rt_sigaction, SIGKILL, &empty, NULL, 8));
  say("half a set", syscall(SYS_rt_sigprocmask, SIG_BLOCK, &empty, NULL, 4));
  say("no way to set", syscall(SYS_rt_sigprocmask, 9, &empty, NULL, 8));
  fflush(stdout);
}

static volatile int interruptions, announced;

static void counts(int number)
{
  (void)number;
  interruptions++;
  if (announced) write(2, "handled\n", 8);
}

/* A wait that SIGTERM from outside ends: HOW is the wait, with "restart" after it for a handler
   with SA_RESTART. The outcome is printed on standard error. */
static void interrupted(const char *how)
{
  enum { OUTPUT = 200000 };
  const struct timespec long_time = { 1000, 0 };
  int restart = strstr(how, "restart") != NULL, word = 7;
  long result, total = 0, ended = 0;
  char byte;
  /* The test then sends the byte that ends this wait. */
  announced = !strcmp(how, "read-restart");
  on(SIGTERM, counts, restart ? SA_RESTART : 0, 0);
  if (strncmp(how, "write", 5)) write(2, "ready\n", 6);
  if (!strncmp(how, "read", 4)) result = syscall(SYS_read, 0, &byte, 1);
  else if (!strncmp(how, "poll", 4)) result = poll(NULL, 0, -1);
  else if (!strncmp(how, "select", 6)) result = select(0, NULL, NULL, NULL, NULL);
  else if (!strncmp(how, "nanosleep", 9)) result = syscall(SYS_nanosleep, &long_time, NULL);
  else if (!strncmp(how, "futex", 5)) result = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 7, &long_time);
  else if (!strncmp(how, "pause", 5)) result = pause();
  else if (!strncmp(how, "write-bytes", 11)) {
    /* Of one byte, either nothing is written or all. */
    while (total < OUTPUT) {
      result = syscall(SYS_write, 1, "x", 1);
      if (result == 1) total++;
      else if (errno == EINTR) ended++;
      else abort();
    }
    result = ended;
  } else {
    char *much = calloc(1, OUTPUT);
    result = syscall(SYS_write, 1, much, OUTPUT);
    for (total = result; total < OUTPUT; total += syscall(SYS_write, 1, much + total, OUTPUT - total));
    result = result > 0 && result < OUTPUT;
  }
  int error = result < 0 ? errno : 0;
  fprintf(stderr, "%s: %ld, errno %d, signals: %d\n", how, result, error, interruptions);
}

/* No page is to be written and executed. */
static void protections(void)
{
  char *page = pages(1, PROT_READ | PROT_WRITE);
  int all = PROT_READ | PROT_WRITE | PROT_EXEC;
  say("map", (long)mmap(NULL, PAGE, all, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  say("protect", mprotect(page, PAGE, all));
  say("write only and execute", mprotect(page, PAGE, PROT_WRITE | PROT_EXEC));
#ifdef __aarch64__
  const uint32_t returns = 0xd65f03c0;
#else
  const uint8_t returns = 0xc3;
#endif
  memcpy(page, &returns, sizeof returns);
  __builtin___clear_cache(page, page + sizeof returns);
  say("execute", mprotect(page, PAGE, PROT_READ | PROT_EXEC));
  ((void (*)(void))page)();
  char *code = (char *)((uintptr_t)&protections & -PAGE), *data = (char *)((uintptr_t)&depth & -PAGE);
  say("code to be written", mprotect(code, PAGE, PROT_READ | PROT_WRITE));
  say("data to be executed", mprotect(data, PAGE, PROT_READ | PROT_EXEC));
  say("both as they are", mprotect(code, PAGE, PROT_READ | PROT_EXEC) + mprotect(data, PAGE, PROT_READ));
}

/* The names of the machine. */
static void names(void)
{
  struct utsname names;
  memset(&names, 'x', sizeof names);
  say("uname", uname(&names));
  printf("%s|%s|%s|%s|%s\n", names.sysname, names.nodename, names.release, names.version, names.machine);
}

/* The place of the stack, and the mappings. */
static void places(void)
{
  char here;
  printf("stack %p\nmapped %p\n", (void *)&here, malloc(1 << 20));
}

/* In an image everything runs in ring 0: shrinks the page faults' stack (IST 1 of the TSS that the
   GDT's descriptor at 24 names) until a fault needs more. */
static void page_fault_stack(void)
{
#ifdef __x86_64__
  struct __attribute__((packed)) { uint16_t limit; uint8_t *base; } table;
  __asm__ volatile("sgdt %0" : "=m"(table));
  uint8_t *descriptor = table.base + 24;
  uint64_t task = descriptor[2] | descriptor[3] << 8 | descriptor[4] << 16 | (uint64_t)descriptor[7] << 24;
  uint64_t whole;
  memcpy(&whole, (char *)task + 36, sizeof whole);
  for (int left = 2048; left > 0; left -= 16) {
    uint64_t top = whole - (16 << 10) + left;
    volatile char *page = pages(1, PROT_READ | PROT_WRITE);
    memcpy((char *)task + 36, &top, sizeof top);
    *page = 1;
  }
#endif
}

value test_system_calls(value group)
{
  const char *name = String_val(group);
  if (!strcmp(name, "pointers")) pointers();
  else if (!strcmp(name, "waits")) waits();
  else if (!strcmp(name, "legacy")) legacy();
  else if (!strcmp(name, "descriptors")) descriptors();
  else if (!strcmp(name, "signals")) signals();
  else if (!strcmp(name, "protections")) protections();
  else if (!strncmp(name, "interrupted-", 12)) interrupted(name + 12);
  else if (!strcmp(name, "names")) names();
  else if (!strcmp(name, "places")) places();
  else if (!strcmp(name, "page-fault-stack")) page_fault_stack();
  else abort();
  fflush(stdout);
  return Val_unit;
}
