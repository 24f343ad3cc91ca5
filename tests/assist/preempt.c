/* Preloaded into QEMU, on top of assist.c where that is needed: takes virtual processors away for
   two milliseconds at a time, in between two instructions, and says so as KVM does where its host's
   scheduler does it (MSR_KVM_STEAL_TIME in Linux's Documentation/virt/kvm/x86/msr.rst). All else is
   KVM's: it clears the byte, and flushes if the guest has asked for that meanwhile. KVM's
   instruction emulator itself never says that a processor is preempted.

   Writes to the file PREEMPT_REPORT how often the guest asked. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { SLOTS = 64, PROCESSORS = 64, SPAN_US = 2000, PAUSE_US = 3000 };
enum { STEAL_TIME = 0x4b564d03, ENABLED = 1, PREEMPTED_AT = 16, PREEMPTED = 1, FLUSH = 2 };

static int (*real_ioctl)(int, unsigned long, ...);
static struct {
  uint64_t physical, size;
  uint8_t *host;
} slots[SLOTS];
static int used_slots;
static struct {
  int fd;
  pthread_t thread;
} processors[PROCESSORS];
static _Atomic int count, flushes;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void) { real_ioctl = dlsym(RTLD_NEXT, "ioctl"); }

__attribute__((destructor)) static void end(void) {
  const char *path = getenv("PREEMPT_REPORT");
  FILE *report = count && path ? fopen(path, "w") : NULL;
  if (!report) return;
  fprintf(report, "%d\n", flushes);
  fclose(report);
}

/* Interrupts a processor at a time by the signal that QEMU's threads for processors expect. */
static void *interrupt(void *seed) {
  for (unsigned state = 1;; usleep(PAUSE_US))
    pthread_kill(processors[rand_r(&state) % count].thread, SIGUSR1);
  return seed;
}

/* Enters the processor's thread, which is the caller, at its first run. */
static void enter(int fd) {
  pthread_mutex_lock(&lock);
  int at = 0;
  while (at < count && processors[at].fd != fd) at++;
  if (at == count && at < PROCESSORS) {
    processors[at].fd = fd;
    processors[at].thread = pthread_self();
    count++;
    pthread_t thread;
    if (count == 2) pthread_create(&thread, NULL, interrupt, NULL);
  }
  pthread_mutex_unlock(&lock);
}

/* Takes the processor away, if the guest wants to know. */
static void preempt(int fd) {
  struct {
    struct kvm_msrs head;
    struct kvm_msr_entry entry;
  } asked = {{1, 0}, {STEAL_TIME, 0, 0}};
  if (real_ioctl(fd, KVM_GET_MSRS, &asked) != 1 || !(asked.entry.data & ENABLED)) return;
  uint64_t physical = (asked.entry.data & ~63ull) + PREEMPTED_AT;
  for (int i = 0; i < used_slots; i++) {
    if (physical - slots[i].physical >= slots[i].size) continue;
    uint8_t *byte = slots[i].host + (physical - slots[i].physical), running = 0;
    __atomic_compare_exchange_n(byte, &running, PREEMPTED, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    usleep(SPAN_US);
    if (__atomic_load_n(byte, __ATOMIC_SEQ_CST) & FLUSH) flushes++;
    return;
  }
}

int ioctl(int fd, unsigned long request, ...) {
  va_list list;
  va_start(list, request);
  void *argument = va_arg(list, void *);
  va_end(list);
  if (request == KVM_SET_USER_MEMORY_REGION) {
    struct kvm_userspace_memory_region *region = argument;
    if (region->memory_size && used_slots < SLOTS) {
      slots[used_slots].physical = region->guest_phys_addr;
      slots[used_slots].size = region->memory_size;
      slots[used_slots++].host = (uint8_t *)region->userspace_addr;
    }
  }
  if (request == KVM_RUN) enter(fd);
  int result = real_ioctl(fd, request, argument), error = errno;
  /* Other ends of a run may be within an instruction. */
  if (request == KVM_RUN && result < 0 && error == EINTR) preempt(fd);
  errno = error;
  return result;
}
