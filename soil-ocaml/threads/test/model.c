/* The precedence of the first thread (soil_threads_precedence.c) under random schedules.

   This file includes that one, with stand-ins for OCaml's runtime, the system and the clock. Its
   threads are coroutines, which change at any call of a stand-in. OCaml's lock is as in OCaml 5.3,
   otherlibs/systhreads/st_pthreads.h, but any thread that waits for it may get it next. Time passes
   where a thread polls, and when all wait.

   Argument: how many schedules to try; or the number of one, and "one", to repeat a failure. */

#define CAML_INTERNALS
#define _GNU_SOURCE

#include <caml/domain.h>
#include <caml/domain_state.h>
#include <caml/mlvalues.h>
#include <caml/signals.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define MS 1000000L
#define THREADS 10
#define STACK (64 << 10)

/* How long OCaml lets a thread run, and how long a schedule takes. */
#define TICK (50 * MS)
#define SCHEDULE (300 * MS)

/* What the first thread does: both of these by turns, or one. */
enum kind { MIXED, BUSY, BLOCKING, KINDS };

struct coroutine {
  ucontext_t context;
  char *stack;
  void (*body)(void);
  /* Whether it can continue; NULL at its end. */
  bool (*ready)(struct coroutine *);
  long deadline;
  /* What it waits for a change of: a word, and its value. */
  _Atomic int *futex;
  int expected;
  bool woken;
  long takes_before;
  int domain;
  /* The program's variables of this thread while another runs. */
  int depth;
  bool changing;
  /* Since when it is in the queue; 0 if it isn't. */
  long queued_since;
};

static struct coroutine coroutines[THREADS], *current;
static int threads;
static ucontext_t scheduler;
static unsigned long schedule, random_state;
static long now, next_tick;
static enum kind kind;

/* OCaml's domains and their locks. */
static caml_domain_state domains[2];
static struct {
  struct coroutine *holder;
  int waiters;
  long takes;
} locks[2];
static struct coroutine *mutex_holder;
static void (*child_handler)(void);

/* The first thread waits for the lock; how often others that compute have polled meanwhile. */
static bool first_waits;
static int polls, most_polls;
/* Since when the first thread has kept all others that compute from the lock. */
static long kept_since;
static long longest_queued, longest_kept;
/* The first thread has done its part, and the others come to their end. */
static bool ending;

CAMLthread_local caml_domain_state *caml_state;
void (*caml_enter_blocking_section_hook)(void);
void (*caml_leave_blocking_section_hook)(void);
void (*caml_domain_external_interrupt_hook)(void);

static void fail(const char *what)
{
  fprintf(stderr, "schedule %lu, at %ld ns: %s\n", schedule, now, what);
  exit(1);
}

static void require(bool holds, const char *what)
{
  if (!holds) fail(what);
}

/* A number below [bound]. Source: xorshift64*, Vigna, ACM TOMS 42(4). */
static long below(long bound)
{
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return (long)((random_state * 0x2545f4914f6cdd1dUL) >> 33) % bound;
}

static bool one_in(long n) { return below(n) == 0; }

/* Lets other threads run until this one can continue. */
static void wait_until(bool (*ready)(struct coroutine *))
{
  current->ready = ready;
  swapcontext(&current->context, &scheduler);
}

static bool always(struct coroutine *c) { (void)c; return true; }

static void point(void)
{
  if (one_in(3)) wait_until(always);
}

static bool is_late(struct coroutine *c) { return c->deadline != 0 && now >= c->deadline; }

/* The stand-ins. */

static bool mutex_is_free(struct coroutine *c) { (void)c; return mutex_holder == NULL; }

static int model_mutex_lock(pthread_mutex_t *m)
{
  (void)m;
  point();
  while (mutex_holder != NULL) wait_until(mutex_is_free);
  mutex_holder = current;
  return 0;
}

static int model_mutex_unlock(pthread_mutex_t *m)
{
  (void)m;
  require(mutex_holder == current, "a mutex is unlocked that another thread holds");
  mutex_holder = NULL;
  point();
  return 0;
}

static int model_mutex_init(pthread_mutex_t *m, const void *attributes)
{
  (void)m;
  (void)attributes;
  mutex_holder = NULL;
  return 0;
}

static pthread_t model_self(void) { return (pthread_t)(current - coroutines); }

static int model_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
  (void)prepare;
  (void)parent;
  child_handler = child;
  return 0;
}

static int model_clock(clockid_t id, struct timespec *at)
{
  require(id == CLOCK_MONOTONIC, "another clock is read");
  *at = (struct timespec){ .tv_sec = now / 1000000000, .tv_nsec = now % 1000000000 };
  return 0;
}

static long ns(const struct timespec *at) { return at->tv_sec * 1000000000 + at->tv_nsec; }

static int model_sleep(const struct timespec *span, struct timespec *left)
{
  (void)left;
  current->deadline = now + ns(span);
  wait_until(is_late);
  return 0;
}

static bool is_woken(struct coroutine *c) { return c->woken || is_late(c); }

static long model_futex(int call, _Atomic int *word, int operation, int value,
                        const struct timespec *until, void *other, int bits)
{
  (void)other;
  (void)bits;
  require(call == SYS_futex, "another system call");
  if (operation == FUTEX_WAKE_PRIVATE) {
    for (struct coroutine *c = coroutines; c < coroutines + threads; c++)
      if (c->futex == word && value-- > 0) {
        c->woken = true;
        c->futex = NULL;
      }
    point();
    return 0;
  }
  require(operation == FUTEX_WAIT_BITSET_PRIVATE, "another operation on a futex");
  point();
  errno = EAGAIN;
  if (atomic_load_explicit(word, memory_order_relaxed) != value) return -1;
  errno = EINTR;
  if (one_in(8)) return one_in(2) ? 0 : -1;
  current->futex = word;
  current->expected = value;
  current->woken = false;
  current->deadline = until == NULL ? 0 : ns(until);
  wait_until(is_woken);
  current->futex = NULL;
  errno = ETIMEDOUT;
  return current->woken ? 0 : -1;
}

static bool lock_is_free(struct coroutine *c) { return locks[c->domain].holder == NULL; }

static void release(void)
{
  require(locks[current->domain].holder == current, "a thread releases a lock it doesn't hold");
  locks[current->domain].holder = NULL;
}

/* As its caller waits no more: an interrupt of the last holder is lost. */
static void take(void)
{
  locks[current->domain].holder = current;
  locks[current->domain].takes += 1;
  atomic_store_explicit(&domains[current->domain].young_limit, 0, memory_order_relaxed);
}

static void acquire(void)
{
  int of = current->domain;
  point();
  locks[of].waiters += 1;
  while (locks[of].holder != NULL) wait_until(lock_is_free);
  locks[of].waiters -= 1;
  take();
}

static bool lock_was_taken(struct coroutine *c)
{
  return lock_is_free(c) && locks[c->domain].takes != c->takes_before;
}

static void backup(void);
static bool is_backup(void) { return current->body == backup; }

int caml_bt_is_self(void) { return is_backup(); }

static void ocaml_enters(void)
{
  require(!is_backup(), "a backup thread leaves the lock");
  point();
  release();
  point();
}

static void ocaml_leaves(void)
{
  bool is_first = current == coroutines;
  first_waits |= is_first;
  acquire();
  if (is_first) {
    first_waits = false;
    polls = 0;
  }
  point();
}

static void ocaml_is_interrupted(void)
{
  caml_domain_state *state = &domains[current->domain];
  if (is_backup() || !atomic_exchange(&state->requested_external_interrupt, 0)) return;
  if (locks[current->domain].waiters == 0) return;
  locks[current->domain].waiters += 1;
  release();
  current->takes_before = locks[current->domain].takes;
  wait_until(lock_was_taken);
  locks[current->domain].waiters -= 1;
  take();
}

void caml_enter_blocking_section_no_pending(void) { caml_enter_blocking_section_hook(); }
void caml_leave_blocking_section(void) { caml_leave_blocking_section_hook(); }

#undef atomic_store
#undef atomic_load
#define atomic_store(place, value) \
  (point(), atomic_store_explicit(place, value, memory_order_seq_cst))
#define atomic_load(place) (point(), atomic_load_explicit(place, memory_order_seq_cst))
#define pthread_mutex_lock model_mutex_lock
#define pthread_mutex_unlock model_mutex_unlock
#define pthread_mutex_init model_mutex_init
#define pthread_self model_self
#define pthread_atfork model_atfork
#define clock_gettime model_clock
#define nanosleep model_sleep
#define syscall model_futex

#include "../soil_threads_precedence.c"

/* What always holds. */

static struct coroutine *owner(const struct place *place)
{
  for (struct coroutine *c = coroutines; c < coroutines + threads; c++)
    if ((char *)place >= c->stack && (char *)place < c->stack + STACK) return c;
  fail("a place of the queue isn't a thread's");
  return NULL;
}

static void check_queue(void)
{
  bool is_queued[THREADS] = { false };
  bool guarded = guardian == NULL;
  struct place **link = &first_place;
  for (; *link != NULL; link = &(*link)->next) {
    struct coroutine *c = owner(*link);
    require(!is_queued[c - coroutines], "the queue is a circle");
    is_queued[c - coroutines] = true;
    require((*link)->state != OUT, "a thread in the queue isn't queued");
    require(locks[c->domain].holder != c, "a thread in the queue holds the lock");
    guarded |= guardian == *link;
  }
  require(last_link == link, "the queue's end is wrong");
  require(guarded, "the guardian isn't in the queue");
  require(first_place == NULL || outside > 0 || guardian != NULL, "the queue has no guardian");
  for (struct coroutine *c = coroutines; c < coroutines + threads; c++) {
    require(c->futex == NULL || *c->futex == c->expected, "a wake-up is lost");
    if (!is_queued[c - coroutines])
      c->queued_since = 0;
    else if (c->queued_since == 0)
      c->queued_since = now;
    else if (now - c->queued_since > longest_queued)
      longest_queued = now - c->queued_since;
  }
  /* Each of the others may go on for OCaml's slice, and the first thread before each. */
  require(longest_queued <= threads * (TICK + STARVED_NS + SLICE_NS + 2 * MS),
          "a thread stays in the queue");
  /* Its guardian interrupts the first thread, or another that has taken the lock meanwhile. */
  if (first_place == NULL || !wanted || outside > 0)
    kept_since = now;
  else if (now - kept_since > longest_kept)
    longest_kept = now - kept_since;
  require(longest_kept <= 5 * STARVED_NS,
          "the first thread keeps the lock");
}

static void check(void)
{
  require(computing >= 0, "computing is negative");
  require(outside >= 0, "outside is negative");
  require(computing + outside <= 2 * threads, "more threads than there are");
  if (mutex_holder == NULL) check_queue();
}

static void check_end(void)
{
  require(mutex_holder == NULL, "a thread ended with the mutex");
  require(computing == 0, "threads compute after their end");
  require(outside == 0, "threads are outside after their end");
  require(first_place == NULL && guardian == NULL, "threads are in the queue after their end");
}

/* Runs one coroutine until it waits. */
static void resume(struct coroutine *c)
{
  current = c;
  depth = c->depth;
  changing = c->changing;
  caml_state = &domains[c->domain];
  swapcontext(&scheduler, &c->context);
  c->depth = depth;
  c->changing = changing;
  current = NULL;
}

/* Until all have ended. */
static void run(void)
{
  for (;;) {
    struct coroutine *ready[THREADS];
    int count = 0, living = 0;
    long earliest = 0;
    check();
    if (now >= next_tick) {
      next_tick = now + TICK;
      atomic_store_explicit(&domains[0].requested_external_interrupt, 1, memory_order_relaxed);
      atomic_store_explicit(&domains[0].young_limit, CAML_UINTNAT_MAX, memory_order_relaxed);
    }
    for (struct coroutine *c = coroutines; c < coroutines + threads; c++) {
      if (c->ready == NULL) continue;
      living += 1;
      if (c->ready(c))
        ready[count++] = c;
      else if ((c->ready == is_late || c->ready == is_woken) && c->deadline != 0)
        if (earliest == 0 || c->deadline < earliest) earliest = c->deadline;
    }
    if (count > 0)
      resume(ready[below(count)]);
    else if (earliest != 0)
      now = earliest;
    else if (living == 0)
      return;
    else
      fail("all threads wait for ever");
  }
}

/* What threads do. */

/* The running thread polls, with OCaml's lock. */
static void poll(void)
{
  caml_domain_state *state = &domains[current->domain];
  point();
  if (current->domain == 0) {
    now += 1000 * (10 + below(190));
    if (first_waits && depth > 0 && ++polls > most_polls) most_polls = polls;
    require(polls < threads, "the first thread waits for many polls");
  }
  if (atomic_load_explicit(&state->young_limit, memory_order_relaxed) != CAML_UINTNAT_MAX) return;
  atomic_store_explicit(&state->young_limit, 0, memory_order_relaxed);
  if (atomic_load_explicit(&state->requested_external_interrupt, memory_order_relaxed))
    caml_domain_external_interrupt_hook();
}

static void compute(long most)
{
  for (long n = below(most); n > 0; n--) poll();
}

static void enter_section(void) { caml_enter_blocking_section_hook(); }

static void leave_section(void) { caml_leave_blocking_section_hook(); }

static void block(long most)
{
  enter_section();
  if (one_in(4))
    point();
  else {
    current->deadline = now + 1 + below(most);
    wait_until(is_late);
  }
  leave_section();
}

static bool is_only_one(struct coroutine *self)
{
  for (struct coroutine *c = coroutines; c < coroutines + threads; c++)
    if (c != self && c->ready != NULL) return false;
  return true;
}

static void first(void)
{
  while (now < SCHEDULE) {
    if (kind == BUSY || (kind == MIXED && one_in(200)))
      compute(1000);
    else {
      compute(one_in(2) ? 2 : 20);
      block(one_in(20) ? 40 * MS : MS);
    }
  }
  ending = true;
  if (one_in(2))
    while (!is_only_one(current)) poll();
  else {
    enter_section();
    wait_until(is_only_one);
    leave_section();
  }
  release();
}

/* Computes and does other things by turns. */
static void worker(void)
{
  acquire();
  while (!ending) {
    int levels = one_in(4) ? 0 : 1 + (int)below(2);
    for (int n = 0; n < levels; n++) soil_threads_computing_begins(Val_unit);
    compute(one_in(4) ? 500 : 20);
    if (one_in(2)) block(one_in(8) ? 20 * MS : MS);
    compute(one_in(4) ? 500 : 5);
    for (int n = 0; n < levels; n++) soil_threads_computing_ends(Val_unit);
    if (one_in(4)) block(5 * MS);
  }
  release();
}

/* Computes without a pause. */
static void job(void)
{
  acquire();
  soil_threads_computing_begins(Val_unit);
  while (!ending) compute(100);
  soil_threads_computing_ends(Val_unit);
  release();
}

/* Forks while it computes, and goes on as the child. */
static void forks(void)
{
  acquire();
  soil_threads_computing_begins(Val_unit);
  compute(2000);
  lock();
  for (struct coroutine *c = coroutines; c < coroutines + threads; c++)
    if (c != current) {
      c->ready = NULL;
      c->futex = NULL;
    }
  locks[0].waiters = 0;
  child_handler();
  require(is_first() && wanted, "the child's thread isn't its first one");
  compute(20);
  block(MS);
  soil_threads_computing_ends(Val_unit);
  compute(2000);
  block(MS);
  release();
}

/* Never computes. */
static void other(void)
{
  acquire();
  while (!ending) {
    compute(10);
    block(one_in(8) ? 20 * MS : MS);
  }
  release();
}

/* Computes in another domain, which has no first thread. */
static void elsewhere(void)
{
  acquire();
  while (!ending) {
    soil_threads_computing_begins(Val_unit);
    require(depth == 0, "a thread of another domain computes");
    if (one_in(4))
      atomic_store_explicit(&domains[1].young_limit, CAML_UINTNAT_MAX, memory_order_relaxed);
    atomic_store_explicit(&domains[1].requested_external_interrupt, one_in(4),
                          memory_order_relaxed);
    compute(3);
    block(5 * MS);
    soil_threads_computing_ends(Val_unit);
  }
  release();
}

/* OCaml's backup thread: acts for the first domain now and then. */
static void backup(void)
{
  while (!ending) {
    acquire();
    poll();
    release();
    current->deadline = now + MS;
    wait_until(is_late);
  }
}

static void begin(void)
{
  current->body();
  current->ready = NULL;
  setcontext(&scheduler);
}

static void add(void (*body)(void), int of)
{
  struct coroutine *c = &coroutines[threads++];
  char *stack = c->stack != NULL ? c->stack : malloc(STACK);
  memset(c, 0, sizeof *c);
  c->stack = stack;
  c->body = body;
  c->domain = of;
  c->ready = always;
  getcontext(&c->context);
  c->context.uc_stack.ss_sp = stack;
  c->context.uc_stack.ss_size = STACK;
  makecontext(&c->context, begin, 0);
}

static void reset(void)
{
  random_state = (schedule + 1) * 0x9e3779b97f4a7c15UL;
  threads = 0;
  now = kept_since = 1;
  next_tick = TICK;
  first_waits = ending = false;
  longest_queued = longest_kept = 0;
  memset(domains, 0, sizeof domains);
  memset(locks, 0, sizeof locks);
  caml_enter_blocking_section_hook = ocaml_enters;
  caml_leave_blocking_section_hook = ocaml_leaves;
  caml_domain_external_interrupt_hook = ocaml_is_interrupted;
  wanted = true;
  /* The first thread, which holds the lock. */
  add(first, 0);
  current = coroutines;
  caml_state = &domains[0];
  take();
  soil_threads_take_precedence(Val_unit);
  kind = below(KINDS);
  for (long n = 1 + below(4); n > 0; n--) add(kind == BUSY || one_in(2) ? job : worker, 0);
  if (kind != BUSY)
    for (long n = below(3); n > 0; n--) add(other, 0);
  if (one_in(8)) add(forks, 0);
  if (one_in(4)) add(elsewhere, 1);
  if (one_in(4)) add(backup, 0);
}

int main(int argc, char **argv)
{
  unsigned long number = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
  bool one = argc > 2;
  long queued = 0, kept = 0;
  for (schedule = one ? number : 0; schedule < number + one; schedule++) {
    reset();
    run();
    check_end();
    if (longest_queued > queued) queued = longest_queued;
    if (longest_kept > kept) kept = longest_kept;
  }
  printf("%lu schedules: the first thread waited for %d polls, it kept the lock for %ld us, and a "
         "thread stayed in the queue for %ld us at most\n",
         number, most_polls, kept / 1000, queued / 1000);
  return 0;
}
