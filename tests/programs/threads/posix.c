/* POSIX threads as a C library uses them; each check prints one line when it holds. */

#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <caml/mlvalues.h>

static void check(int holds, const char *what)
{
  printf("%s%s\n", holds ? "" : "WRONG: ", what);
  fflush(stdout);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static volatile int stage;

static void move_to(int next)
{
  pthread_mutex_lock(&mutex);
  stage = next;
  pthread_cond_broadcast(&condition);
  pthread_mutex_unlock(&mutex);
}

static void wait_for(int wanted)
{
  pthread_mutex_lock(&mutex);
  while (stage != wanted)
    pthread_cond_wait(&condition, &mutex);
  pthread_mutex_unlock(&mutex);
}

static void nap(long ms)
{
  struct timespec time = { ms / 1000, ms % 1000 * 1000000 };
  nanosleep(&time, NULL);
}

/* A thread that computes without a system call is interrupted for the others. */

static volatile int spin_on;

static void *spin(void *unused)
{
  (void)unused;
  long double product = 1.0L;
  while (spin_on)
    product = product * 1.0000001L > 2.0L ? 1.0L : product * 1.0000001L;
  return product >= 1.0L ? (void *)1 : NULL;
}

static void computing_threads(void)
{
  pthread_t threads[3];
  void *result;
  int good = 1;
  spin_on = 1;
  for (int i = 0; i < 3; i++)
    pthread_create(&threads[i], NULL, spin, NULL);
  nap(60);
  spin_on = 0;
  for (int i = 0; i < 3; i++) {
    pthread_join(threads[i], &result);
    good = good && result == (void *)1;
  }
  check(good, "computing threads are interrupted, and keep their floating-point registers");
}

/* Data of each thread */

static __thread int own = 7;
static pthread_key_t key;
static int destroyed;

static void destroy(void *value)
{
  (void)value;
  __sync_fetch_and_add(&destroyed, 1);
}

static void *use_own(void *number)
{
  own += (int)(long)number;
  pthread_setspecific(key, number);
  sched_yield();
  return (void *)(long)(own == 7 + (int)(long)number && pthread_getspecific(key) == number);
}

static void data_of_each_thread(void)
{
  pthread_t threads[8];
  void *result;
  int good = 1;
  pthread_key_create(&key, destroy);
  for (long i = 0; i < 8; i++)
    pthread_create(&threads[i], NULL, use_own, (void *)(i + 1));
  for (int i = 0; i < 8; i++) {
    pthread_join(threads[i], &result);
    good = good && result == (void *)1;
  }
  check(good && own == 7 && destroyed == 8, "each thread has its own data, destroyed at its end");
}

/* Names */

static int is_named(const char *expected)
{
  char name[16];
  memset(name, 'x', sizeof name);
  return prctl(PR_GET_NAME, name) == 0 && strcmp(name, expected) == 0;
}

static void *name_itself(void *unused)
{
  int inherited = is_named("first");
  pthread_setname_np(pthread_self(), "second");
  return inherited && is_named("second") ? (void *)1 : unused;
}

static void names(void)
{
  pthread_t thread;
  void *result;
  int good = pthread_setname_np(pthread_self(), "first") == 0;
  pthread_create(&thread, NULL, name_itself, NULL);
  pthread_join(thread, &result);
  good = good && result == (void *)1 && is_named("first");
  prctl(PR_SET_NAME, "longer than fifteen bytes");
  good = good && is_named("longer than fif");
  check(good && prctl(-1) == -1 && errno == EINVAL,
        "a thread has its creator's name until it gives itself another");
}

/* Waits with a time limit */

static void time_limits(void)
{
  struct timespec soon;
  pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
  sem_t semaphore;
  clock_gettime(CLOCK_REALTIME, &soon);
  soon.tv_nsec += 20000000;
  if (soon.tv_nsec >= 1000000000) {
    soon.tv_sec++;
    soon.tv_nsec -= 1000000000;
  }
  pthread_mutex_lock(&mutex);
  int waited = pthread_cond_timedwait(&condition, &mutex, &soon);
  pthread_mutex_unlock(&mutex);
  pthread_mutex_lock(&held);
  int locked = pthread_mutex_timedlock(&held, &soon);
  sem_init(&semaphore, 0, 0);
  int counted = sem_timedwait(&semaphore, &soon) == -1 ? errno : 0;
  check(waited == ETIMEDOUT && locked == ETIMEDOUT && counted == ETIMEDOUT,
        "waits with a time limit end with ETIMEDOUT");
}

/* A mutex whose owner ends */

static pthread_mutex_t robust;

static void *end_with_lock(void *unused)
{
  pthread_mutex_lock(&robust);
  return unused;
}

static void robust_mutexes(void)
{
  pthread_mutexattr_t attributes;
  pthread_t thread;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&robust, &attributes);
  pthread_create(&thread, NULL, end_with_lock, NULL);
  pthread_join(thread, NULL);
  int taken = pthread_mutex_lock(&robust);
  int mended = pthread_mutex_consistent(&robust);
  pthread_mutex_unlock(&robust);
  check(taken == EOWNERDEAD && mended == 0 && pthread_mutex_lock(&robust) == 0,
        "a robust mutex says that its owner has ended");
  pthread_mutex_unlock(&robust);
}

/* Cancellation */

static int cleaned;

static void clean(void *unused)
{
  (void)unused;
  cleaned++;
}

static void *sleep_for_ever(void *unused)
{
  pthread_cleanup_push(clean, NULL);
  move_to(1);
  for (;;)
    pause();
  pthread_cleanup_pop(0);
  return unused;
}

static void *wait_for_ever(void *unused)
{
  pthread_mutex_t own_mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t own_condition = PTHREAD_COND_INITIALIZER;
  pthread_cleanup_push(clean, NULL);
  pthread_mutex_lock(&own_mutex);
  move_to(1);
  pthread_cond_wait(&own_condition, &own_mutex);
  pthread_cleanup_pop(0);
  return unused;
}

static void *compute_for_ever(void *unused)
{
  pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
  pthread_cleanup_push(clean, NULL);
  move_to(1);
  for (;;)
    __asm__ volatile("" ::: "memory");
  pthread_cleanup_pop(0);
  return unused;
}

static void *end_with_value(void *value)
{
  pthread_cleanup_push(clean, NULL);
  pthread_cleanup_push(clean, NULL);
  pthread_exit(value);
  pthread_cleanup_pop(0);
  pthread_cleanup_pop(0);
  return NULL;
}

static void cancellation(void)
{
  void *(*bodies[])(void *) = { sleep_for_ever, wait_for_ever, compute_for_ever };
  int good = 1;
  for (int i = 0; i < 3; i++) {
    pthread_t thread;
    void *result;
    stage = 0;
    pthread_create(&thread, NULL, bodies[i], NULL);
    wait_for(1);
    nap(10);
    pthread_cancel(thread);
    pthread_join(thread, &result);
    good = good && result == PTHREAD_CANCELED && cleaned == i + 1;
  }
  check(good, "threads that sleep, wait and compute are cancelled, and clean up");
  pthread_t thread;
  void *result;
  cleaned = 0;
  pthread_create(&thread, NULL, end_with_value, (void *)77);
  pthread_join(thread, &result);
  check(result == (void *)77 && cleaned == 2, "a thread that ends within such a block has its value");
}

/* Signals */

static volatile sig_atomic_t handled;
static pthread_t handler_thread;

static void handle(int signal)
{
  handler_thread = pthread_self();
  handled += signal;
}

static volatile long sleeper_number;
static volatile int sleep_is_over;

/* Signals a thread (or the process) that is about to sleep, again where its handler ran before the
   sleep. Returns how many were sent; the last one may meet a sleep that is over. */
static int signal_sleeper(pthread_t thread, int to_process)
{
  int sent = 0;
  do {
    if (to_process)
      kill(getpid(), SIGUSR1);
    else
      pthread_kill(thread, SIGUSR1);
    sent++;
    while (handled != sent * SIGUSR1 && !sleep_is_over)
      nap(1);
    for (int i = 0; i < 50 && !sleep_is_over; i++)
      nap(1);
  } while (!sleep_is_over);
  return sent;
}

/* Whether each of so many signals to a sleeper ran the handler. */
static int all_handled(int sent)
{
  return handled == sent * SIGUSR1 || (sent > 1 && handled == (sent - 1) * SIGUSR1);
}

static void *sleep_until_handled(void *unused)
{
  struct timespec long_time = { 100, 0 };
  sleeper_number = syscall(SYS_gettid);
  move_to(1);
  int result = nanosleep(&long_time, NULL);
  int interrupted = result == -1 && errno == EINTR && handled;
  sleep_is_over = 1;
  return interrupted ? (void *)1 : unused;
}

static void *compute_until_handled(void *unused)
{
  (void)unused;
  register long a = 1, b = 2, c = 3, d = 4;
  double x = 1.5, y = 2.5;
  move_to(1);
  while (!handled)
    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+x"(x), "+x"(y));
  return (void *)(long)(a == 1 && b == 2 && c == 3 && d == 4 && x == 1.5 && y == 2.5);
}

static void signals(void)
{
  void *(*bodies[])(void *) = { sleep_until_handled, compute_until_handled };
  struct sigaction action;
  int good = 1;
  memset(&action, 0, sizeof action);
  action.sa_handler = handle;
  sigaction(SIGUSR1, &action, NULL);
  for (int i = 0; i < 2; i++) {
    pthread_t thread;
    void *result;
    int sent = 1;
    handled = stage = sleep_is_over = 0;
    pthread_create(&thread, NULL, bodies[i], NULL);
    wait_for(1);
    nap(10);
    if (i == 0)
      sent = signal_sleeper(thread, 0);
    else
      pthread_kill(thread, SIGUSR1);
    pthread_join(thread, &result);
    good = good && result == (void *)1 && all_handled(sent)
      && pthread_equal(handler_thread, thread);
  }
  check(good, "a signal for a thread runs its handler there, whether it waits or computes");

  sigset_t usual, blocked;
  pthread_t thread;
  void *result;
  handled = stage = sleep_is_over = 0;
  pthread_create(&thread, NULL, sleep_until_handled, NULL);
  wait_for(1);
  nap(10);
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &blocked, &usual);
  int none = pthread_kill(thread, 0);
  long unknown = syscall(SYS_tkill, sleeper_number, 65);
  int error = errno;
  nap(10);
  check(none == 0 && unknown == -1 && error == EINVAL && handled == 0,
        "numbers that are no signal leave a thread alone");
  int sent = signal_sleeper(thread, 1);
  pthread_join(thread, &result);
  check(result == (void *)1 && all_handled(sent) && pthread_equal(handler_thread, thread),
        "a signal for the process goes to a thread that doesn't block it");
  pthread_sigmask(SIG_SETMASK, &usual, NULL);
  check(pthread_kill(pthread_self(), 0) == 0
          && syscall(SYS_tgkill, getpid(), 987654, 0) == -1 && errno == ESRCH,
        "a missing thread gets no signal");
}

/* Stacks */

static void *use_stack(void *size)
{
  long len = (long)size;
  volatile char room[len];
  for (long i = 0; i < len; i += 512)
    room[i] = (char)i;
  return (void *)(long)(room[512] == 0);
}

static void stacks(void)
{
  pthread_attr_t attributes;
  pthread_t thread;
  void *result;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 4 << 20);
  int created = pthread_create(&thread, &attributes, use_stack, (void *)(3L << 20));
  pthread_join(thread, &result);
  int good = created == 0 && result == (void *)1;
  void *own = aligned_alloc(4096, 1 << 20);
  pthread_attr_setstack(&attributes, own, 1 << 20);
  created = pthread_create(&thread, &attributes, use_stack, (void *)(1L << 19));
  pthread_join(thread, &result);
  free(own);
  good = good && created == 0 && result == (void *)1;
  check(good, "a thread has the stack that its attributes name, or its program's own memory");
}

/* Many */

static void *stay(void *unused)
{
  wait_for(2);
  return unused;
}

static void many(long count)
{
  pthread_t *threads = malloc(count * sizeof *threads);
  pthread_attr_t attributes;
  long created = 0;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 64 << 10);
  stage = 1;
  while (created < count && pthread_create(&threads[created], &attributes, stay, NULL) == 0)
    created++;
  move_to(2);
  for (long i = 0; i < created; i++)
    pthread_join(threads[i], NULL);
  free(threads);
  check(created == count, "many threads wait at once");
}

static void *detached(void *unused)
{
  sem_post(unused);
  return NULL;
}

static void many_one_after_the_other(void)
{
  sem_t ended;
  pthread_attr_t attributes;
  int good = 1;
  sem_init(&ended, 0, 0);
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  for (int i = 0; i < 3000 && good; i++) {
    pthread_t thread;
    good = pthread_create(&thread, &attributes, detached, &ended) == 0;
    sem_wait(&ended);
  }
  check(good, "detached threads leave nothing behind");
}

static void *set_once(void *unused)
{
  (void)unused;
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  extern void note_once(void);
  pthread_once(&once, note_once);
  return NULL;
}

static int noted;

void note_once(void)
{
  nap(5);
  noted++;
}

static void meetings(void)
{
  pthread_t threads[4];
  for (int i = 0; i < 4; i++)
    pthread_create(&threads[i], NULL, set_once, NULL);
  for (int i = 0; i < 4; i++)
    pthread_join(threads[i], NULL);
  check(noted == 1, "what is done once is done once");
}

static void *last_words(void *unused)
{
  nap(20);
  check(1, "the program goes on when its first thread has ended");
  exit(unused == NULL ? 7 : 8);
}

value posix_threads(value count)
{
  names();
  computing_threads();
  data_of_each_thread();
  time_limits();
  robust_mutexes();
  cancellation();
  signals();
  stacks();
  many(Long_val(count));
  many_one_after_the_other();
  meetings();
  pthread_t thread;
  pthread_create(&thread, NULL, last_words, NULL);
  pthread_exit(NULL);
}

value fault_in_a_thread(value unit)
{
  *(volatile int *)0;
  return unit;
}
