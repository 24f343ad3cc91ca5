/* The first thread's precedence over threads that compute, on the one lock of OCaml's first domain.

   OCaml interrupts a thread that holds the lock every 50 ms, and hands the lock to the thread that
   has waited for it longest. Here the first thread itself interrupts the holder as soon as it wants
   the lock, at the end of a blocking section. The holder then releases the lock where it next polls,
   and joins a queue, in which it stays at least until the first thread is in a blocking section
   again.

   Of the threads that compute (Soil_threads.computing) one at a time leaves the queue, so that one
   holds the lock or waits for it, not all, and the first thread waits for one poll. Others do so
   too if they come from blocking sections; each is interrupted in turn.

   A first thread that never blocks leaves the lock for SLICE_NS when a thread in the queue has
   waited for STARVED_NS, or when OCaml interrupts it.

   While no thread computes, and in other domains, OCaml's own hooks are in charge. Source:
   runtime/caml/domain.h and signals.h, otherlibs/systhreads/st_stubs.c of OCaml 5.3. */

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
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SLICE_NS 1000000
#define STARVED_NS 4000000

typedef void hook(void);

/* Written once, when the program starts. */
static hook *enter_before, *leave_before, *interrupt_before;
static caml_domain_state *domain;
static pthread_t first_thread;

enum { OUT, WAITS, GUARDS };

struct place {
  /* Whether it is in the queue, and waits there for a limited time as its guardian; a futex. */
  _Atomic int state;
  struct place *next;
};

/* The following with [mutex], which no thread keeps while it waits for OCaml's lock. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
/* The first thread holds OCaml's lock or waits for it. */
static bool wanted = true;
/* Threads that compute. */
static int computing;
/* Those of them that are neither in the queue nor in a blocking section, and others that have just
   left the queue. */
static int outside;
static struct place *first_place, **last_link = &first_place;
/* Of the queue's threads the one that makes the first thread leave the lock now and then. There is
   one while the first thread wants the lock and none is outside. */
static struct place *guardian;

/* How often this thread has begun to compute, and not ended. */
static _Thread_local int depth;
/* This thread is in the queue, or on the way in or out: its blocking section isn't the program's. */
static _Thread_local bool changing;

static void lock(void) { pthread_mutex_lock(&mutex); }
static void unlock(void) { pthread_mutex_unlock(&mutex); }

static bool is_first(void)
{
  return pthread_equal(pthread_self(), first_thread);
}

/* Makes the holder of OCaml's lock call [interrupted] where it next polls. */
static void interrupt_holder(void)
{
  atomic_store(&domain->requested_external_interrupt, 1);
  atomic_store(&domain->young_limit, CAML_UINTNAT_MAX);
}

/* Sets the state of a thread in the queue, and wakes it for that. With [mutex]. */
static void set_state(struct place *place, int state)
{
  atomic_store(&place->state, state);
  syscall(SYS_futex, &place->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Lets a thread leave the queue if none is outside and the first one doesn't want OCaml's lock. All
   leave when no thread computes any more: the first thread no longer makes room for them. With
   [mutex]. */
static void admit(void)
{
  while (first_place != NULL && (computing == 0 || (outside == 0 && !wanted))) {
    struct place *place = first_place;
    first_place = place->next;
    if (first_place == NULL) last_link = &first_place;
    if (guardian == place) guardian = NULL;
    outside += 1;
    set_state(place, OUT);
  }
  if (first_place != NULL && outside == 0 && guardian == NULL) {
    guardian = first_place;
    set_state(guardian, GUARDS);
  }
}

static void come_out(void)
{
  lock();
  outside += 1;
  unlock();
}

static void go_away(void)
{
  lock();
  outside -= 1;
  admit();
  unlock();
}

static struct timespec after(long ns)
{
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  at.tv_nsec += ns;
  if (at.tv_nsec >= 1000000000) {
    at.tv_nsec -= 1000000000;
    at.tv_sec += 1;
  }
  return at;
}

/* Waits in the queue. Without OCaml's lock. */
static void await_turn(struct place *place)
{
  struct timespec starved = after(STARVED_NS);
  int state;
  while ((state = atomic_load(&place->state)) != OUT) {
    long result = syscall(SYS_futex, &place->state, FUTEX_WAIT_BITSET_PRIVATE, state,
                          state == GUARDS ? &starved : NULL, NULL, FUTEX_BITSET_MATCH_ANY);
    if (result != 0 && errno == ETIMEDOUT) {
      lock();
      if (guardian == place) {
        if (wanted) interrupt_holder();
      } else if (atomic_load(&place->state) != OUT)
        atomic_store(&place->state, WAITS);
      unlock();
      starved = after(STARVED_NS);
    }
  }
}

/* Leaves OCaml's lock to the first thread and to those before this one in the queue. */
static void queue_up(void)
{
  struct place place = { .state = WAITS };
  changing = true;
  caml_enter_blocking_section_no_pending();
  lock();
  *last_link = &place;
  last_link = &place.next;
  if (depth > 0) outside -= 1;
  if (wanted) {
    guardian = &place;
    place.state = GUARDS;
  }
  admit();
  unlock();
  await_turn(&place);
  caml_leave_blocking_section();
  changing = false;
  if (depth == 0) go_away();
}

/* The first thread leaves OCaml's lock for a while. */
static void give_slice(void)
{
  struct timespec slice = { .tv_nsec = SLICE_NS };
  caml_enter_blocking_section_no_pending();
  nanosleep(&slice, NULL);
  caml_leave_blocking_section();
}

/* Interrupts this thread, which has got OCaml's lock, if the first one waits for it: an earlier
   interrupt is lost where threads change (caml_memprof_enter_thread). */
static void pass_on(void)
{
  lock();
  bool interrupts = computing > 0 && wanted;
  unlock();
  if (interrupts) interrupt_holder();
}

static void enter(void)
{
  enter_before();
  if (is_first()) {
    lock();
    wanted = false;
    admit();
    unlock();
  } else if (depth > 0 && !changing)
    go_away();
}

static void leave(void)
{
  if (is_first()) {
    lock();
    wanted = true;
    bool interrupts = outside > 0;
    unlock();
    if (interrupts) interrupt_holder();
    leave_before();
    if (interrupts) atomic_store(&domain->requested_external_interrupt, 0);
  } else {
    if (depth > 0 && !changing) come_out();
    leave_before();
    if (Caml_state == domain) pass_on();
  }
}

static void interrupted(void)
{
  /* A backup thread acts for the holder, and yields nothing. */
  if (Caml_state != domain || caml_bt_is_self()) {
    interrupt_before();
    return;
  }
  lock();
  bool first = is_first();
  bool others = first_place != NULL || (first && outside > 0);
  bool changes = computing > 0 && (others || (wanted && !first));
  unlock();
  if (changes && first) {
    atomic_store(&domain->requested_external_interrupt, 0);
    give_slice();
  } else if (changes) {
    atomic_store(&domain->requested_external_interrupt, 0);
    queue_up();
  } else {
    interrupt_before();
    if (!first) pass_on();
  }
}

/* The child's only thread is its first one, also if it computes. */
static void in_child(void)
{
  pthread_mutex_init(&mutex, NULL);
  first_thread = pthread_self();
  wanted = true;
  computing = outside = depth = 0;
  first_place = guardian = NULL;
  last_link = &first_place;
}

/* In the first thread, when the program starts. */
value soil_threads_take_precedence(value unit)
{
  first_thread = pthread_self();
  domain = Caml_state;
  enter_before = caml_enter_blocking_section_hook;
  leave_before = caml_leave_blocking_section_hook;
  interrupt_before = caml_domain_external_interrupt_hook;
  pthread_atfork(lock, unlock, in_child);
  caml_enter_blocking_section_hook = enter;
  caml_leave_blocking_section_hook = leave;
  caml_domain_external_interrupt_hook = interrupted;
  return unit;
}

static bool counts(void)
{
  return Caml_state == domain && !is_first();
}

/* A thread of the first domain begins to compute. The first thread may wait already, and have
   interrupted none. */
value soil_threads_computing_begins(value unit)
{
  if (counts() && depth++ == 0) {
    lock();
    computing += 1;
    outside += 1;
    unlock();
    pass_on();
  }
  return unit;
}

value soil_threads_computing_ends(value unit)
{
  if (counts() && --depth == 0) {
    lock();
    computing -= 1;
    outside -= 1;
    admit();
    unlock();
  }
  return unit;
}
