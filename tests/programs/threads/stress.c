/* Threads that lock, wait, hand over, compute, sleep, signal each other and create others at
   random. What they count has to be right at the end, and each has to get on. */

#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <caml/mlvalues.h>
#include <caml/signals.h>

enum { WORKERS = 12, LOCKS = 4, ROOM = 3 };

struct worker {
  pthread_t thread;
  unsigned long seed;
  volatile long steps, sent, taken, locked;
};

static struct worker workers[WORKERS];
static volatile int over;

static struct { pthread_mutex_t mutex; volatile long first, second; } locks[LOCKS];
static struct {
  pthread_mutex_t mutex;
  pthread_cond_t filled, emptied;
  volatile long items, most;
} queue;
static sem_t semaphore;
static pthread_rwlock_t shared = PTHREAD_RWLOCK_INITIALIZER;
static volatile long written[2];
static volatile sig_atomic_t signals_seen;
static volatile int wrong;

static void fail(const char *what)
{
  if (!__sync_lock_test_and_set(&wrong, 1)) {
    printf("wrong: %s\n", what);
    fflush(stdout);
  }
}

static void on_signal(int signal)
{
  (void)signal;
  signals_seen++;
}

static unsigned long below(struct worker *worker, unsigned long limit)
{
  worker->seed = worker->seed * 6364136223846793005ul + 1442695040888963407ul;
  return (worker->seed >> 33) % limit;
}

static struct timespec in_nanoseconds(long nanoseconds)
{
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  time.tv_nsec += nanoseconds;
  time.tv_sec += time.tv_nsec / 1000000000;
  time.tv_nsec %= 1000000000;
  return time;
}

static void lock_and_count(struct worker *worker)
{
  int which = (int)below(worker, LOCKS);
  pthread_mutex_lock(&locks[which].mutex);
  long first = locks[which].first;
  if (first != locks[which].second)
    fail("a mutex let two in");
  locks[which].first = first + 1;
  if (below(worker, 8) == 0)
    sched_yield();
  for (volatile unsigned long i = below(worker, 200); i > 0; i--)
    ;
  locks[which].second = first + 1;
  worker->locked++;
  pthread_mutex_unlock(&locks[which].mutex);
}

static void hand_over(struct worker *worker)
{
  struct timespec limit = in_nanoseconds((long)below(worker, 5000000));
  int timed = below(worker, 2) == 0, late = 0;
  pthread_mutex_lock(&queue.mutex);
  if (below(worker, 2) == 0) {
    while (queue.items == ROOM && !late && !over)
      late = timed ? pthread_cond_timedwait(&queue.emptied, &queue.mutex, &limit)
                   : pthread_cond_wait(&queue.emptied, &queue.mutex);
    if (queue.items < ROOM) {
      queue.items++;
      worker->sent++;
      pthread_cond_signal(&queue.filled);
    }
  } else {
    while (queue.items == 0 && !late && !over)
      late = timed ? pthread_cond_timedwait(&queue.filled, &queue.mutex, &limit)
                   : pthread_cond_wait(&queue.filled, &queue.mutex);
    if (queue.items > 0) {
      queue.items--;
      worker->taken++;
      pthread_cond_signal(&queue.emptied);
    }
  }
  if (queue.items < 0 || queue.items > ROOM)
    fail("the queue holds too much or too little");
  pthread_mutex_unlock(&queue.mutex);
}

static void count_semaphore(struct worker *worker)
{
  struct timespec limit = in_nanoseconds((long)below(worker, 3000000));
  int result;
  do
    result = below(worker, 2) ? sem_wait(&semaphore) : sem_timedwait(&semaphore, &limit);
  while (result == -1 && errno == EINTR);
  if (result == 0)
    sem_post(&semaphore);
  else if (errno != ETIMEDOUT)
    fail("sem_timedwait");
}

static void share(struct worker *worker)
{
  if (below(worker, 4) == 0) {
    pthread_rwlock_wrlock(&shared);
    written[0]++;
    if (below(worker, 4) == 0)
      sched_yield();
    written[1]++;
  } else {
    pthread_rwlock_rdlock(&shared);
    if (written[0] != written[1])
      fail("a reader saw half of a write");
  }
  pthread_rwlock_unlock(&shared);
}

static void compute(struct worker *worker)
{
  long double wide = 1.0L;
  double narrow = 1.0;
  unsigned long n = below(worker, 20000);
  for (unsigned long i = 0; i < n; i++) {
    wide = wide * 1.5L - 0.5L;
    narrow = narrow * 1.5 - 0.5;
  }
  if (wide != 1.0L || narrow != 1.0)
    fail("a computation");
}

static void *child(void *number)
{
  struct timespec time = { 0, (long)number };
  nanosleep(&time, NULL);
  return number;
}

static void create(struct worker *worker)
{
  pthread_t thread;
  void *result, *number = (void *)(long)(1 + below(worker, 100000));
  if (pthread_create(&thread, NULL, child, number) != 0)
    return;
  if (pthread_join(thread, &result) != 0 || result != number)
    fail("a thread's result");
}

static void nap(struct worker *worker)
{
  struct timespec time = { 0, (long)below(worker, 2000000) };
  nanosleep(&time, NULL);
}

static void *work(void *argument)
{
  struct worker *worker = argument;
  /* Until all threads are known. */
  pthread_mutex_lock(&queue.mutex);
  pthread_mutex_unlock(&queue.mutex);
  while (!over) {
    switch (below(worker, 16)) {
    case 0: nap(worker); break;
    case 1: create(worker); break;
    case 2: pthread_kill(workers[below(worker, WORKERS)].thread, SIGUSR1); break;
    case 3: compute(worker); break;
    case 4: case 5: count_semaphore(worker); break;
    case 6: case 7: share(worker); break;
    case 8: case 9: case 10: lock_and_count(worker); break;
    default: hand_over(worker);
    }
    worker->steps++;
  }
  return NULL;
}

static void sleep_for(struct timespec left)
{
  while (nanosleep(&left, &left) == -1 && errno == EINTR)
    ;
}

static long all_steps(void)
{
  long all = 0;
  for (int i = 0; i < WORKERS; i++)
    all += workers[i].steps;
  return all;
}

static int all_have_begun(void)
{
  for (int i = 0; i < WORKERS; i++)
    if (workers[i].steps == 0)
      return 0;
  return 1;
}

/* All may wait to put in, or to take out: one of each sets the others going. True if that may
   be. */
static int set_going(long *sent, long *taken)
{
  pthread_mutex_lock(&queue.mutex);
  int full = queue.items == ROOM, empty = queue.items == 0;
  if (full)
    queue.items--, ++*taken, pthread_cond_signal(&queue.emptied);
  else if (empty)
    queue.items++, ++*sent, pthread_cond_signal(&queue.filled);
  pthread_mutex_unlock(&queue.mutex);
  return full || empty;
}

/* Works for `ms`; true if all was right. Workers get on in each tenth of that, or within ten
   seconds after it: a busy host may run none of them for some time. */
value stress(value ms, value seed)
{
  struct timespec pause = { Long_val(ms) / 10000, Long_val(ms) % 10000 * 100000 };
  struct timespec moment = { 0, 100000000 };
  struct sigaction action;
  long before = 0, sent = 0, taken = 0, locked = 0, counted = 0;
  caml_enter_blocking_section();
  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal;
  sigaction(SIGUSR1, &action, NULL);
  for (int i = 0; i < LOCKS; i++)
    pthread_mutex_init(&locks[i].mutex, NULL);
  pthread_mutex_init(&queue.mutex, NULL);
  pthread_cond_init(&queue.filled, NULL);
  pthread_cond_init(&queue.emptied, NULL);
  sem_init(&semaphore, 0, ROOM);
  pthread_mutex_lock(&queue.mutex);
  for (int i = 0; i < WORKERS; i++) {
    workers[i].seed = (unsigned long)Long_val(seed) * 1000 + i;
    pthread_create(&workers[i].thread, NULL, work, &workers[i]);
  }
  pthread_mutex_unlock(&queue.mutex);
  for (int part = 0; part < 10; part++) {
    sleep_for(pause);
    for (int look = 0; all_steps() == before && !set_going(&sent, &taken); look++) {
      if (look == 100) {
        fail("no thread gets on");
        break;
      }
      sleep_for(moment);
    }
    before = all_steps();
  }
  /* Each has a minute more for its first step. */
  for (int look = 0; look < 600 && !all_have_begun(); look++) {
    before = all_steps();
    sleep_for(moment);
    if (all_steps() == before)
      set_going(&sent, &taken);
  }
  pthread_mutex_lock(&queue.mutex);
  over = 1;
  pthread_cond_broadcast(&queue.filled);
  pthread_cond_broadcast(&queue.emptied);
  pthread_mutex_unlock(&queue.mutex);
  for (int i = 0; i < WORKERS; i++) {
    pthread_join(workers[i].thread, NULL);
    sent += workers[i].sent;
    taken += workers[i].taken;
    locked += workers[i].locked;
    if (workers[i].steps == 0)
      fail("a thread did nothing");
  }
  for (int i = 0; i < LOCKS; i++)
    counted += locks[i].first;
  if (counted != locked)
    fail("an increment was lost");
  if (sent - taken != queue.items)
    fail("an item was lost, or came twice");
  caml_leave_blocking_section();
  return Val_bool(!wrong);
}
