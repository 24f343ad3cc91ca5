/* Compares assist.c with the processor: executes random instances of each class of instructions in
   a guest of KVM and natively, on the same registers and memory, and compares registers, flags, SSE
   and x87 state, memory, exceptions, error codes and CR2. Run it with assist.so in LD_PRELOAD.

     check [COUNT [CLASS]]   COUNT instances of each row (40), of all classes or of one
     check --probe           prints "native" or "assisted", and the instructions per second of a
                             guest; without assist.so */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/kvm.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

/* Addresses, the same in the guest and in this process, all below 2 GiB. */
enum {
  CODE = 0x10000000,
  START = CODE + 0x800,
  SAVE = 0x11000000,
  DATA = 0x20000000,
  SYSTEM = 0x30000000
};
/* Pages of DATA: two for reading and writing, none, one for reading, one for both, one for reading.
 */
enum { PAGES = 6, PAGE = 4096, ABSENT = 2 };
static const bool writable[PAGES] = {1, 1, 0, 0, 1, 0};
/* Pages of SYSTEM, and of the guest's physical memory. */
enum { HANDLERS = SYSTEM + 0x1000, STACK_TOP = SYSTEM + 0x3000 };
enum {
  TABLES = 0x1000,
  PHYSICAL_CODE = 0x8000,
  PHYSICAL_DATA = 0x10000,
  PHYSICAL_SYSTEM = 0x20000,
  PHYSICAL_SIZE = 0x40000
};

struct state {
  uint64_t registers[16], flags, rip, address, error;
  int vector; /* -1: the instruction ended */
  uint8_t fx[512] __attribute__((aligned(16)));
  uint8_t data[PAGES * PAGE];
};

static void fail(const char *what) {
  perror(what);
  exit(2);
}

/* The guest. */
static int kvm, vm, vcpu;
static struct kvm_run *run;
static uint8_t *physical;
static struct kvm_sregs sregs;

static void make_guest(void) {
  if ((kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC)) < 0) fail("/dev/kvm");
  if ((vm = ioctl(kvm, KVM_CREATE_VM, 0)) < 0) fail("KVM_CREATE_VM");
  ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000ul);
  physical = mmap(NULL, PHYSICAL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  struct kvm_userspace_memory_region region = {.memory_size = PHYSICAL_SIZE,
                                               .userspace_addr = (uintptr_t)physical};
  if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region)) fail("KVM_SET_USER_MEMORY_REGION");
  if ((vcpu = ioctl(vm, KVM_CREATE_VCPU, 0)) < 0) fail("KVM_CREATE_VCPU");
  run = mmap(NULL, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu,
             0);
  static struct {
    struct kvm_cpuid2 head;
    struct kvm_cpuid_entry2 entries[256];
  } cpuid = {.head.nent = 256};
  if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid) || ioctl(vcpu, KVM_SET_CPUID2, &cpuid))
    fail("CPUID");

  uint64_t *pml4 = (uint64_t *)(physical + TABLES), *pdpt = pml4 + 512, *pd = pdpt + 512;
  uint64_t *of_code = pd + 512, *of_data = of_code + 512, *of_system = of_data + 512;
  uint64_t at = TABLES;
  pml4[0] = (at + 0x1000) | 7;
  pdpt[0] = (at + 0x2000) | 7;
  pd[CODE >> 21] = (at + 0x3000) | 7;
  pd[DATA >> 21] = (at + 0x4000) | 7;
  pd[SYSTEM >> 21] = (at + 0x5000) | 7;
  of_code[0] = PHYSICAL_CODE | 7;
  for (int k = 0; k < PAGES; k++)
    of_data[k] =
        k == ABSENT ? 0 : (PHYSICAL_DATA + k * PAGE) | (1ull << 63) | (writable[k] ? 7 : 5);
  for (int k = 0; k < 4; k++) of_system[k] = (PHYSICAL_SYSTEM + k * PAGE) | 3;

  /* SYSTEM: the IDT, the TSS at 0xc00, the GDT at 0xe00; each handler is a HLT. */
  uint8_t *system = physical + PHYSICAL_SYSTEM;
  for (int k = 0; k < 32; k++) {
    uint32_t handler = HANDLERS + k * 16;
    uint32_t gate[4] = {0x00080000 | (handler & 0xffff), (handler & 0xffff0000) | 0x8e01, 0, 0};
    memcpy(system + k * 16, gate, 16);
    system[0x1000 + k * 16] = 0xf4;
  }
  uint64_t stack = STACK_TOP;
  memcpy(system + 0xc00 + 0x24, &stack, 8);
  uint64_t gdt[] = {0, 0x00af9b000000ffff, 0x00cf93000000ffff};
  memcpy(system + 0xe00, gdt, sizeof gdt);
  if (ioctl(vcpu, KVM_GET_SREGS, &sregs)) fail("KVM_GET_SREGS");
  sregs.cr3 = TABLES;
  sregs.cr0 = 0x80010033;
  sregs.cr4 = 0x620;
  sregs.efer = 0xd00;
  sregs.idt.base = SYSTEM, sregs.idt.limit = 511;
  sregs.gdt.base = SYSTEM + 0xe00, sregs.gdt.limit = sizeof gdt - 1;
  sregs.cs = (struct kvm_segment){
      .limit = ~0u, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
  sregs.ss = (struct kvm_segment){
      .limit = ~0u, .selector = 0x10, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss;
  sregs.tr = (struct kvm_segment){
      .base = SYSTEM + 0xc00, .limit = 0x67, .selector = 0x30, .type = 11, .present = 1};
}

static bool run_guest(const struct state *in, struct state *out, const uint8_t *code, int length) {
  uint64_t r[16];
  struct kvm_regs regs = {.rip = START, .rflags = in->flags};
  memcpy(r, in->registers, sizeof r);
  regs.rax = r[0], regs.rcx = r[1], regs.rdx = r[2], regs.rbx = r[3], regs.rsp = r[4],
  regs.rbp = r[5], regs.rsi = r[6], regs.rdi = r[7];
  memcpy(&regs.r8, r + 8, 64);
  static struct kvm_xsave xsave;
  memset(&xsave, 0, sizeof xsave);
  memcpy(xsave.region, in->fx, 512);
  *(uint64_t *)(xsave.region + 128) = 3;
  memset(physical + PHYSICAL_CODE + 0x7ff, 0xf4, 40);
  memcpy(physical + PHYSICAL_CODE + (START - CODE), code, length);
  memcpy(physical + PHYSICAL_DATA, in->data, sizeof in->data);
  struct kvm_sregs s = sregs;
  s.cr2 = 0;
  struct kvm_vcpu_events events;
  ioctl(vcpu, KVM_GET_VCPU_EVENTS, &events);
  memset(&events.exception, 0, sizeof events.exception);
  if (ioctl(vcpu, KVM_SET_VCPU_EVENTS, &events) || ioctl(vcpu, KVM_SET_SREGS, &s) ||
      ioctl(vcpu, KVM_SET_REGS, &regs) || ioctl(vcpu, KVM_SET_XSAVE, &xsave))
    fail("the vCPU's state");
  struct kvm_mp_state running = {KVM_MP_STATE_RUNNABLE};
  ioctl(vcpu, KVM_SET_MP_STATE, &running);
  if (ioctl(vcpu, KVM_RUN, 0) || run->exit_reason != KVM_EXIT_HLT) {
    printf("  KVM_RUN: exit %d, suberror %d\n", run->exit_reason, run->internal.suberror);
    return false;
  }
  ioctl(vcpu, KVM_GET_REGS, &regs);
  ioctl(vcpu, KVM_GET_SREGS, &s);
  ioctl(vcpu, KVM_GET_XSAVE, &xsave);
  uint64_t after[16] = {regs.rax, regs.rcx, regs.rdx, regs.rbx,
                        regs.rsp, regs.rbp, regs.rsi, regs.rdi};
  memcpy(after + 8, &regs.r8, 64);
  memcpy(out->registers, after, sizeof after);
  memcpy(out->fx, xsave.region, 512);
  memcpy(out->data, physical + PHYSICAL_DATA, sizeof out->data);
  out->flags = regs.rflags, out->rip = regs.rip - 1, out->vector = -1,
  out->error = out->address = 0;
  if (regs.rip >= HANDLERS && regs.rip < HANDLERS + 512) {
    out->vector = (regs.rip - HANDLERS) / 16;
    const uint64_t *frame = (const uint64_t *)(physical + PHYSICAL_SYSTEM + (regs.rsp - SYSTEM));
    if (out->vector == 13 || out->vector == 14) out->error = *frame++;
    out->rip = frame[0], out->flags = frame[2], out->registers[4] = frame[3];
    if (out->vector == 14) out->address = s.cr2;
  }
  return true;
}

/* The processor. SAVE has the registers, RFLAGS at 128, the host's RSP at 136, the guest's FXSAVE
   image at 512 and the host's at 1024. */
static uint8_t *entry;
static sigjmp_buf back;
static struct state *faulted;

static uint8_t *bytes(uint8_t *at, const char *from, int n) {
  return (uint8_t *)memcpy(at, from, n) + n;
}
static uint8_t *absolute(uint8_t *at, const char *code, int n,
                         uint32_t address) { /* …, SIB without registers */
  at = bytes(at, code, n);
  *at++ = 0x25;
  memcpy(at, &address, 4);
  return at + 4;
}
static uint8_t *all_registers(uint8_t *at, uint8_t move) {
  for (int k = 0; k < 16; k++) {
    char code[3] = {k >= 8 ? 0x4c : 0x48, move, (k & 7) << 3 | 4};
    at = absolute(at, code, 3, SAVE + k * 8);
  }
  return at;
}
static uint8_t *jump(uint8_t *at, const uint8_t *to) {
  *at = 0xe9;
  int32_t distance = to - (at + 5);
  memcpy(at + 1, &distance, 4);
  return at + 5;
}

static void on_fault(int number, siginfo_t *info, void *context) {
  (void)info;
  const mcontext_t *m = &((ucontext_t *)context)->uc_mcontext;
  const greg_t *g = m->gregs;
  if (g[REG_RIP] < START || g[REG_RIP] > START + 16) {
    signal(number, SIG_DFL);
    return;
  }
  static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                REG_R12, REG_R13, REG_R14, REG_R15};
  for (int k = 0; k < 16; k++) faulted->registers[k] = g[order[k]];
  faulted->vector = g[REG_TRAPNO], faulted->flags = g[REG_EFL], faulted->rip = g[REG_RIP];
  faulted->error = faulted->vector == 13 || faulted->vector == 14 ? g[REG_ERR] : 0;
  faulted->address = faulted->vector == 14 ? g[REG_CR2] : 0;
  memcpy(faulted->fx, m->fpregs, 512);
  siglongjmp(back, 1);
}

static void make_native(void) {
  int both = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
  if (mmap((void *)CODE, 2 * PAGE, both | PROT_EXEC, flags, -1, 0) == MAP_FAILED ||
      mmap((void *)SAVE, PAGE, both, flags, -1, 0) == MAP_FAILED ||
      mmap((void *)DATA, PAGES * PAGE, both, flags, -1, 0) == MAP_FAILED)
    fail("mmap");
  uint8_t *c = entry = (uint8_t *)CODE, *leave = (uint8_t *)CODE + PAGE;
  c = bytes(c, "\x53\x55\x41\x54\x41\x55\x41\x56\x41\x57", 10);
  c = absolute(c, "\x48\x89\x24", 3, SAVE + 136);
  c = absolute(c, "\x48\x0f\xae\x04", 4, SAVE + 1024);
  c = absolute(c, "\x48\x0f\xae\x0c", 4, SAVE + 512);
  c = absolute(c, "\xff\x34", 2, SAVE + 128);
  c = bytes(c, "\x9d", 1);
  c = all_registers(c, 0x8b);
  jump(c, (uint8_t *)START);
  c = all_registers(leave, 0x89);
  c = absolute(c, "\x48\x8b\x24", 3, SAVE + 136);
  c = bytes(c, "\x9c", 1);
  c = absolute(c, "\x8f\x04", 2, SAVE + 128);
  c = absolute(c, "\x48\x0f\xae\x04", 4, SAVE + 512);
  c = absolute(c, "\x48\x0f\xae\x0c", 4, SAVE + 1024);
  bytes(c, "\x41\x5f\x41\x5e\x41\x5d\x41\x5c\x5d\x5b\xfc\xc3", 12);
  static char stack[1 << 16];
  sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL);
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  for (int k = 0; k < 4; k++) sigaction((int[]){SIGSEGV, SIGBUS, SIGFPE, SIGILL}[k], &action, NULL);
}

static void protect(bool open) {
  for (int k = 0; k < PAGES; k++) {
    int allowed = open || writable[k] ? PROT_READ | PROT_WRITE
                  : k == ABSENT       ? PROT_NONE
                                      : PROT_READ;
    if (!writable[k]) mprotect((void *)(uintptr_t)(DATA + k * PAGE), PAGE, allowed);
  }
}

static void run_native(const struct state *in, struct state *out, const uint8_t *code, int length) {
  uint8_t *save = (uint8_t *)SAVE;
  protect(true);
  memcpy((void *)DATA, in->data, sizeof in->data);
  protect(false);
  memcpy(save, in->registers, 128);
  memcpy(save + 128, &in->flags, 8);
  memcpy(save + 512, in->fx, 512);
  memcpy((void *)START, code, length);
  jump((uint8_t *)START + length, (uint8_t *)CODE + PAGE);
  faulted = out;
  if (!sigsetjmp(back, 1)) {
    ((void (*)(void))entry)();
    memcpy(out->registers, save, 128);
    memcpy(&out->flags, save + 128, 8);
    memcpy(out->fx, save + 512, 512);
    out->rip = START + length, out->vector = -1, out->error = out->address = 0;
  }
  protect(true);
  memcpy(out->data, (void *)DATA, sizeof out->data);
}

/* Classes of instructions: rows of opcodes, with their prefixes (n: none, 6: 66, 3: F3, 2: F2), in
   registers (r) and memory (m), with an immediate (i), with REX.W or without (w), locked (l), with
   a VEX prefix (v). */
struct row {
  const char *class, *prefixes, *forms;
  uint8_t map, first, last;
  int8_t reg;
};
static const struct row rows[] = {
    {"moves", "n632", "rm", 1, 0x10, 0x11, -1},
    {"moves", "n6", "m", 1, 0x12, 0x13, -1},
    {"moves", "n6", "m", 1, 0x16, 0x17, -1},
    {"moves", "n", "r", 1, 0x12, 0x12, -1},
    {"moves", "n", "r", 1, 0x16, 0x16, -1},
    {"moves", "3", "rm", 1, 0x12, 0x12, -1},
    {"moves", "3", "rm", 1, 0x16, 0x16, -1},
    {"moves", "2", "rm", 1, 0x12, 0x12, -1},
    {"moves", "n6", "rm", 1, 0x28, 0x29, -1},
    {"moves", "n6", "m", 1, 0x2b, 0x2b, -1},
    {"moves", "n6", "rmw", 1, 0x6e, 0x6e, -1},
    {"moves", "n6", "rmw", 1, 0x7e, 0x7e, -1},
    {"moves", "3", "rm", 1, 0x7e, 0x7e, -1},
    {"moves", "n63", "rm", 1, 0x6f, 0x6f, -1},
    {"moves", "n63", "rm", 1, 0x7f, 0x7f, -1},
    {"moves", "6", "rm", 1, 0xd6, 0xd6, -1},
    {"moves", "32", "r", 1, 0xd6, 0xd6, -1},
    {"moves", "n6", "m", 1, 0xe7, 0xe7, -1},
    {"moves", "2", "m", 1, 0xf0, 0xf0, -1},
    {"moves", "n", "mw", 1, 0xc3, 0xc3, -1},
    {"moves", "6", "m", 2, 0x2a, 0x2a, -1},
    {"masks", "n6", "rw", 1, 0x50, 0x50, -1},
    {"masks", "n6", "rw", 1, 0xd7, 0xd7, -1},
    {"floats", "n632", "rm", 1, 0x51, 0x51, -1},
    {"floats", "n3", "rm", 1, 0x52, 0x53, -1},
    {"floats", "n6", "rm", 1, 0x54, 0x57, -1},
    {"floats", "n632", "rm", 1, 0x58, 0x59, -1},
    {"floats", "n632", "rm", 1, 0x5c, 0x5f, -1},
    {"floats", "62", "rm", 1, 0x7c, 0x7d, -1},
    {"floats", "62", "rm", 1, 0xd0, 0xd0, -1},
    {"floats", "n632", "rmi", 1, 0xc2, 0xc2, -1},
    {"floats", "6", "rmi", 3, 0x08, 0x0b, -1},
    {"floats", "6", "rmi", 3, 0x40, 0x41, -1},
    {"conversions", "n632", "rm", 1, 0x5a, 0x5a, -1},
    {"conversions", "n63", "rm", 1, 0x5b, 0x5b, -1},
    {"conversions", "632", "rm", 1, 0xe6, 0xe6, -1},
    {"conversions", "n6", "rm", 1, 0x2a, 0x2a, -1},
    {"conversions", "32", "rmw", 1, 0x2a, 0x2a, -1},
    {"conversions", "n6", "rm", 1, 0x2c, 0x2d, -1},
    {"conversions", "32", "rmw", 1, 0x2c, 0x2d, -1},
    {"comparisons", "n6", "rm", 1, 0x2e, 0x2f, -1},
    {"comparisons", "6", "rm", 2, 0x17, 0x17, -1},
    {"shuffles", "n6", "rm", 1, 0x14, 0x15, -1},
    {"shuffles", "n6", "rmi", 1, 0xc6, 0xc6, -1},
    {"shuffles", "n632", "rmi", 1, 0x70, 0x70, -1},
    {"shuffles", "n6", "rm", 2, 0x00, 0x00, -1},
    {"shuffles", "6", "rmi", 3, 0x0c, 0x0e, -1},
    {"shuffles", "n6", "rmi", 3, 0x0f, 0x0f, -1},
    {"shuffles", "6", "rm", 2, 0x10, 0x10, -1},
    {"shuffles", "6", "rm", 2, 0x14, 0x15, -1},
    {"shuffles", "6", "rmi", 3, 0x21, 0x21, -1},
    {"integers", "n6", "rm", 1, 0x60, 0x6b, -1},
    {"integers", "6", "rm", 1, 0x6c, 0x6d, -1},
    {"integers", "n6", "rm", 1, 0x74, 0x76, -1},
    {"integers", "n6", "rm", 1, 0xd1, 0xd5, -1},
    {"integers", "n6", "rm", 1, 0xd8, 0xe5, -1},
    {"integers", "n6", "rm", 1, 0xe8, 0xef, -1},
    {"integers", "n6", "rm", 1, 0xf1, 0xf6, -1},
    {"integers", "n6", "rm", 1, 0xf8, 0xfe, -1},
    {"integers", "n6", "rm", 2, 0x01, 0x0b, -1},
    {"integers", "n6", "rm", 2, 0x1c, 0x1e, -1},
    {"integers", "6", "rm", 2, 0x20, 0x25, -1},
    {"integers", "6", "rm", 2, 0x28, 0x29, -1},
    {"integers", "6", "rm", 2, 0x2b, 0x2b, -1},
    {"integers", "6", "rm", 2, 0x30, 0x35, -1},
    {"integers", "6", "rm", 2, 0x37, 0x41, -1},
    {"integers", "6", "rmi", 3, 0x42, 0x42, -1},
    {"shifts", "n6", "ri", 1, 0x71, 0x72, 2},
    {"shifts", "n6", "ri", 1, 0x71, 0x72, 4},
    {"shifts", "n6", "ri", 1, 0x71, 0x73, 6},
    {"shifts", "6", "ri", 1, 0x73, 0x73, 3},
    {"shifts", "6", "ri", 1, 0x73, 0x73, 7},
    {"inserts", "n6", "rmi", 1, 0xc4, 0xc4, -1},
    {"inserts", "n6", "riw", 1, 0xc5, 0xc5, -1},
    {"inserts", "6", "rmi", 3, 0x14, 0x15, -1},
    {"inserts", "6", "rmiw", 3, 0x16, 0x16, -1},
    {"inserts", "6", "rmi", 3, 0x17, 0x17, -1},
    {"inserts", "6", "rmi", 3, 0x20, 0x20, -1},
    {"inserts", "6", "rmiw", 3, 0x22, 0x22, -1},
    {"strings", "6", "rmi", 3, 0x60, 0x63, -1},
    {"ciphers", "6", "rm", 2, 0xdb, 0xdf, -1},
    {"ciphers", "6", "rmi", 3, 0xdf, 0xdf, -1},
    {"ciphers", "6", "rmi", 3, 0x44, 0x44, -1},
    {"ciphers", "n", "rm", 2, 0xc8, 0xcd, -1},
    {"ciphers", "n", "rmi", 3, 0xcc, 0xcc, -1},
    {"ciphers", "6", "rm", 2, 0xcf, 0xcf, -1},
    {"ciphers", "6", "rmi", 3, 0xce, 0xcf, -1},
    {"bits", "3", "rmw", 1, 0xb8, 0xb8, -1},
    {"bits", "2", "rmw", 2, 0xf0, 0xf1, -1},
    {"bits", "63", "rmw", 2, 0xf6, 0xf6, -1},
    {"bits", "n", "rmwv", 2, 0xf2, 0xf2, -1},
    {"bits", "n", "rmwv", 2, 0xf3, 0xf3, 1},
    {"bits", "n", "rmwv", 2, 0xf3, 0xf3, 2},
    {"bits", "n", "rmwv", 2, 0xf3, 0xf3, 3},
    {"bits", "n32", "rmwv", 2, 0xf5, 0xf5, -1},
    {"bits", "2", "rmwv", 2, 0xf6, 0xf6, -1},
    {"bits", "n632", "rmwv", 2, 0xf7, 0xf7, -1},
    {"bits", "2", "rmiwv", 3, 0xf0, 0xf0, -1},
    {"exchanges", "n", "mwl", 1, 0xc7, 0xc7, 1},
    {"controls", "n", "m", 1, 0xae, 0xae, 2},
    {"controls", "n", "m", 1, 0xae, 0xae, 3},
    {"controls", "n", "r", 1, 0xae, 0xae, 5},
    {"controls", "n", "r", 1, 0xae, 0xae, 6},
    {"controls", "n", "r", 1, 0xae, 0xae, 7},
    {"controls", "n", "r", 1, 0x77, 0x77, 0},
    {"x87", "n", "rm", 0, 0xd8, 0xd8, -1},
    {"x87", "n", "m", 0, 0xd9, 0xd9, 0},
    {"x87", "n", "m", 0, 0xd9, 0xd9, 2},
    {"x87", "n", "m", 0, 0xd9, 0xd9, 3},
    {"x87", "n", "m", 0, 0xd9, 0xd9, 4},
    {"x87", "n", "m", 0, 0xd9, 0xd9, 5},
    {"x87", "n", "m", 0, 0xd9, 0xd9, 7},
    {"x87", "n", "r", 0, 0xd9, 0xd9, 0},
    {"x87", "n", "r", 0, 0xd9, 0xd9, 1},
    {"x87", "n", "r", 0, 0xd9, 0xd9, 6},
    {"x87", "n", "r", 0, 0xd9, 0xd9, 7},
    {"x87", "n", "m", 0, 0xda, 0xda, -1},
    {"x87", "n", "r", 0, 0xda, 0xdb, 0},
    {"x87", "n", "r", 0, 0xda, 0xdb, 1},
    {"x87", "n", "r", 0, 0xda, 0xdb, 2},
    {"x87", "n", "r", 0, 0xda, 0xdb, 3},
    {"x87", "n", "r", 0, 0xdb, 0xdb, 5},
    {"x87", "n", "r", 0, 0xdb, 0xdb, 6},
    {"x87", "n", "m", 0, 0xdb, 0xdb, 0},
    {"x87", "n", "m", 0, 0xdb, 0xdb, 1},
    {"x87", "n", "m", 0, 0xdb, 0xdb, 2},
    {"x87", "n", "m", 0, 0xdb, 0xdb, 3},
    {"x87", "n", "m", 0, 0xdb, 0xdb, 5},
    {"x87", "n", "m", 0, 0xdb, 0xdb, 7},
    {"x87", "n", "rm", 0, 0xdc, 0xdc, -1},
    {"x87", "n", "m", 0, 0xdd, 0xdd, 0},
    {"x87", "n", "m", 0, 0xdd, 0xdd, 1},
    {"x87", "n", "m", 0, 0xdd, 0xdd, 2},
    {"x87", "n", "m", 0, 0xdd, 0xdd, 3},
    {"x87", "n", "m", 0, 0xdd, 0xdd, 7},
    {"x87", "n", "r", 0, 0xdd, 0xdd, 0},
    {"x87", "n", "r", 0, 0xdd, 0xdd, 2},
    {"x87", "n", "r", 0, 0xdd, 0xdd, 3},
    {"x87", "n", "r", 0, 0xdd, 0xdd, 4},
    {"x87", "n", "r", 0, 0xdd, 0xdd, 5},
    {"x87", "n", "m", 0, 0xde, 0xde, -1},
    {"x87", "n", "m", 0, 0xdf, 0xdf, -1},
    {"x87", "n", "r", 0, 0xdf, 0xdf, 5},
    {"x87", "n", "r", 0, 0xdf, 0xdf, 6},
};

static uint64_t seed = 88172645463325252u;
static uint64_t random64(void) {
  seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
  return seed;
}
static int below(int n) { return random64() % n; }

static uint64_t number(void) { /* random bits, doubles, floats, small integers */
  double d = (double)(int64_t)random64() / (1ll << below(62));
  float f[2] = {d, 1 / d};
  uint64_t value = random64();
  switch (below(4)) {
    case 0: memcpy(&value, &d, 8); break;
    case 1: memcpy(&value, f, 8); break;
    case 2: value >>= below(64); break;
  }
  return value;
}

static void fill(struct state *s) {
  for (int k = 0; k < 16; k++) s->registers[k] = number();
  s->flags = (random64() & 0x8d5) | 2;
  for (size_t k = 0; k < sizeof s->data; k += 8) {
    uint64_t value = number();
    memcpy(s->data + k, &value, 8);
  }
  memset(s->fx, 0, sizeof s->fx);
  for (int k = 160; k < 416; k += 8) {
    uint64_t value = number();
    memcpy(s->fx + k, &value, 8);
  }
  for (int k = 0; k < 8; k++) {
    long double value = (double)(int64_t)number() / 3;
    memcpy(s->fx + 32 + k * 16, &value, 10);
  }
  uint16_t control = below(8) ? 0x037f : 0x0340 | (random64() & 0xc3f), status = below(8) << 11;
  uint32_t mxcsr = below(8) ? 0x1f80 : 0x1f80 & ~(random64() & 0x1780); /* underflow stays masked */
  if (below(4) == 0) mxcsr |= below(4) << 13 | below(64);
  memcpy(s->fx, &control, 2);
  memcpy(s->fx + 2, &status, 2);
  s->fx[4] = below(3) ? 0xff : random64();
  memcpy(s->fx + 24, &mxcsr, 4);
}

/* Operands in memory: inside of a page, over each kind of border, in each kind of page. */
static uint64_t target(void) {
  switch (below(8)) {
    case 0: return DATA + 64 + below(64);
    case 1: return DATA + PAGE - 1 - below(16);
    case 2: return DATA + 2 * PAGE - 1 - below(16);
    case 3: return DATA + 5 * PAGE - 1 - below(16);
    case 4: return DATA + 3 * PAGE + 16 * below(8);
    case 5: return DATA + 3 * PAGE - 1 - below(16);
    default: return DATA + 128 + 16 * below(32);
  }
}

/* An instance of a row: its bytes, with the registers of `s` so that they address `target`. */
static int instance(const struct row *row, char prefix, int op, struct state *s, uint8_t *code) {
  uint8_t *c = code, rex = 0, modrm, sib = 0;
  bool memory = strchr(row->forms, 'm') && (!strchr(row->forms, 'r') || below(2));
  int reg = row->reg >= 0 ? row->reg : below(8), displacement_size = 0, sib_size = 0;
  int32_t displacement = 0;
  bool padded = strchr(row->forms, 'v') && below(4) == 0; /* by a prefix that has no meaning */
  if (row->map) rex = below(16) & (strchr(row->forms, 'w') ? 15 : 7);
  if (row->reg >= 0) rex &= ~4;
  if (strchr(row->forms, 'l')) rex |= 8;
  if (memory) {
    uint64_t to = target();
    if (below(6) == 0) { /* relative to RIP */
      modrm = reg << 3 | 5;
      displacement_size = 4;
      rex &= ~3;
      displacement = 1; /* below */
    } else {
      int base = below(8), mod = 1 + below(2);
      displacement_size = mod == 1 ? 1 : 4;
      displacement = mod == 1 ? (int8_t)random64() : (int32_t)(random64() & 0xffffff);
      modrm = mod << 6 | reg << 3 | base;
      int full = base | (rex & 1 ? 8 : 0);
      uint64_t scaled = 0;
      if (base == 4) {
        sib_size = 1;
        base = below(8), full = base | (rex & 1 ? 8 : 0);
        int index = below(8), whole = index | (rex & 2 ? 8 : 0), scale = below(4);
        if (whole == full) index = index ^ 1, whole ^= 1;
        sib = scale << 6 | index << 3 | base;
        if (whole != 4) scaled = s->registers[whole] << scale;
      } else {
        rex &= ~2;
      }
      s->registers[full] = to - displacement - scaled;
    }
    if (displacement == 1 && displacement_size == 4 && (modrm & 0xc7) == 5) {
      int length = (prefix != 'n') + (strchr(row->forms, 'l') != NULL && below(2)) + (rex != 0) +
                   (row->map > 0) + (row->map > 1);
      if (strchr(row->forms, 'v')) length = 3 + padded;
      length += 2 + 4 + (strchr(row->forms, 'i') != NULL);
      displacement = to - (START + length);
      if (strchr(row->forms, 'l')) displacement = (int32_t)(DATA + 128) - START - length;
    }
  } else {
    modrm = 0xc0 | reg << 3 | (row->map == 1 && op == 0xae ? 0 : below(8));
  }
  bool locked = strchr(row->forms, 'l') && below(2);
  if (locked) *c++ = 0xf0;
  if (strchr(row->forms, 'v')) {
    /* rorx has no third operand. */
    int third = row->map == 3 ? 15 : below(16);
    const char *order = "n632";
    if (padded) *c++ = 0x3e;
    *c++ = 0xc4;
    *c++ = (~rex & 7) << 5 | row->map;
    *c++ = (rex & 8) << 4 | third << 3 | (strchr(order, prefix) - order);
  } else {
    if (prefix != 'n') *c++ = prefix == '6' ? 0x66 : prefix == '3' ? 0xf3 : 0xf2;
    if (rex) *c++ = 0x40 | rex;
    if (row->map) *c++ = 0x0f;
    if (row->map >= 2) *c++ = row->map == 2 ? 0x38 : 0x3a;
  }
  *c++ = op;
  if (row->map == 1 && op == 0x77) return c - code;
  *c++ = modrm;
  if (sib_size) *c++ = sib;
  memcpy(c, &displacement, displacement_size);
  c += displacement_size;
  if (strchr(row->forms, 'i')) *c++ = random64();
  return c - code;
}

/* A move that faults, fnstcw, fnstsw: KVM's emulator does these itself, and has by then written the
   part before the border of a page, and changed the x87 unit's top. */
static bool by_kvm(const struct row *row, const struct state *native) {
  bool states = row->map == 0 && row->reg == 7 && (row->first == 0xd9 || row->first == 0xdd);
  return native->vector == 14 && (states || !strcmp(row->class, "moves"));
}

/* A store of the x87 unit by which an exception that isn't masked becomes pending, so that it
   writes nothing. Some processors test the operand's pages first, as the shim does, and fault;
   others end the instruction without. All else is as before it. */
static bool tests_late(const struct row *row, const struct state *in, const struct state *guest,
                       const struct state *native) {
  bool pending = !(in->fx[2] & 0x80) && native->fx[2] & 0x80;
  return !strcmp(row->class, "x87") && native->vector < 0 && pending && guest->vector == 14 &&
         guest->error & 2 && guest->rip == START &&
         !memcmp(in->data, guest->data, sizeof in->data) &&
         !memcmp(in->data, native->data, sizeof in->data) &&
         !memcmp(in->fx + 32, guest->fx + 32, 384) &&
         !memcmp(in->registers, guest->registers, sizeof in->registers);
}

/* Whether fstp of 80 bits, whose second page faults, may have written the byte at `address`: some
   processors write the part before it. */
static bool is_part(const struct row *row, const struct state *native, uint64_t address) {
  return row->map == 0 && row->first == 0xdb && row->reg == 7 && native->vector == 14 &&
         !(native->address & 4095) && address < native->address && address + 9 >= native->address;
}

static const char *difference(const struct row *row, const struct state *in, const struct state *a,
                              const struct state *b) {
  static char text[160];
  uint32_t mxcsr[2] = {*(uint32_t *)(a->fx + 24), *(uint32_t *)(b->fx + 24)};
  if (b->vector == 19 && mxcsr[1] & ~(mxcsr[1] >> 7) & 8) mxcsr[0] &= ~0x20, mxcsr[1] &= ~0x20;
  /* Its fields fault one by one; over a border the second page does here. */
  bool fldenv = row->map == 0 && row->first == 0xd9 && row->reg == 4 && a->address != b->address &&
                !(a->address & 4095);
  uint64_t error = b->error & ~4ull; /* it is of user mode */
  if (tests_late(row, in, a, b)) return NULL;
  if (a->vector != b->vector)
    sprintf(text, "exception %d, natively %d", a->vector, b->vector);
  else if (a->vector == 14 &&
           (a->error != error || a->address != (fldenv ? b->address & -4096 : b->address)))
    sprintf(text, "page fault %lx at %lx, natively %lx at %lx", a->error, a->address, error,
            b->address);
  else if (a->rip != b->rip)
    sprintf(text, "RIP %lx, natively %lx", a->rip, b->rip);
  else if ((a->flags ^ b->flags) & 0x8d5)
    sprintf(text, "flags %lx, natively %lx", a->flags & 0x8d5, b->flags & 0x8d5);
  else if (!by_kvm(row, b) && memcmp(a->fx, b->fx, 5))
    sprintf(text, "x87 control, status, tag %08x %02x, natively %08x %02x", *(uint32_t *)a->fx,
            a->fx[4], *(uint32_t *)b->fx, b->fx[4]);
  else if (mxcsr[0] != mxcsr[1])
    sprintf(text, "MXCSR %x, natively %x", mxcsr[0], mxcsr[1]);
  else {
    for (int k = 0; k < 16; k++)
      if (a->registers[k] != b->registers[k])
        return sprintf(text, "register %d: %lx, natively %lx", k, a->registers[k], b->registers[k]),
               text;
    for (int k = 0; k < 8 && !by_kvm(row, b); k++)
      if (memcmp(a->fx + 32 + 16 * k, b->fx + 32 + 16 * k, 10))
        return sprintf(text, "ST(%d)", k), text;
    for (int k = 0; k < 16; k++)
      if (memcmp(a->fx + 160 + 16 * k, b->fx + 160 + 16 * k, 16))
        return sprintf(text, "XMM%d", k), text;
    for (int k = 0; k < PAGES * PAGE && !by_kvm(row, b); k++)
      if (a->data[k] != b->data[k] && !is_part(row, b, DATA + k))
        return sprintf(text, "memory at %x: %x, natively %x", DATA + k, a->data[k], b->data[k]),
               text;
    return NULL;
  }
  return text;
}

static int check(int count, const char *class) {
  static struct state in, guest, native;
  int failures = 0, instances = 0, faults = 0, without = 0;
  for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
    const struct row *row = &rows[k];
    if (class && strcmp(class, row->class)) continue;
    for (int op = row->first; op <= row->last; op++)
      for (const char *prefix = row->prefixes; *prefix; prefix++)
        for (int turn = 0; turn < count; turn++) {
          uint8_t code[24];
          fill(&in);
          /* Of dpps and dppd an unmasked exception ends the steps. */
          if (row->map == 3 && (op == 0x40 || op == 0x41)) in.fx[24] = 0x80, in.fx[25] = 0x1f;
          int length = instance(row, *prefix, op, &in, code);
          run_native(&in, &native, code, length);
          if (native.vector == 6) {
            without++;
            continue;
          } /* not of this processor */
          instances++, faults += native.vector >= 0;
          bool ran = run_guest(&in, &guest, code, length);
          const char *differs = ran ? difference(row, &in, &guest, &native) : "refused";
          if (!differs) continue;
          if (failures++ < 2000) {
            printf("%s:", row->class);
            for (int b = 0; b < length; b++) printf(" %02x", code[b]);
            printf(": %s\n", differs);
          }
        }
  }
  printf("%d instances compared, %d of them with exceptions; %d that this processor lacks; %d "
         "differ\n",
         instances, faults, without, failures);
  return failures || !faults ? 1 : 0;
}

/* Random numbers differ from the processor's; RSP is a destination, too. */
static int check_random(void) {
  static struct state in, out;
  int failures = 0;
  for (int k = 0; k < 16; k++) {
    uint8_t code[] = {0x48, 0x0f, 0xc7, (k & 8 ? 0xf8 : 0xf0) | (k & 7)};
    fill(&in);
    if (!run_guest(&in, &out, code, sizeof code) || !(out.flags & 1) ||
        in.registers[k & 7] == out.registers[k & 7])
      failures++;
  }
  printf("16 random numbers; %d failed\n", failures);
  return failures > 0;
}

static int probe(void) {
  static struct state in, out;
  static const uint8_t loop[] = {0xff, 0xc9, 0x75, 0xfc}; /* dec ecx; jnz */
  static const uint8_t sse[] = {0x0f, 0x58, 0xc1};        /* addps xmm0, xmm1 */
  in.flags = 2, in.fx[24] = 0x80, in.fx[25] = 0x1f;
  struct timespec before, after;
  double seconds = 0, best = 0;
  int turns = 1000;
  /* The best of several, since other load of the host only slows it. */
  for (int k = 0; k < 8 && turns < 1 << 28; k++, turns *= seconds < 0.02 ? 4 : 1) {
    in.registers[1] = turns;
    clock_gettime(CLOCK_MONOTONIC, &before);
    if (!run_guest(&in, &out, loop, sizeof loop)) return 1;
    clock_gettime(CLOCK_MONOTONIC, &after);
    seconds = after.tv_sec - before.tv_sec + (after.tv_nsec - before.tv_nsec) / 1e9;
    if (2 * turns / seconds > best) best = 2 * turns / seconds;
  }
  int saved = dup(1);
  (void)!freopen("/dev/null", "w", stdout);
  bool native = run_guest(&in, &out, sse, sizeof sse);
  dprintf(saved, "%s %.0f\n", native ? "native" : "assisted", best);
  return 0;
}

int main(int count, char **words) {
  make_guest();
  if (count > 1 && !strcmp(words[1], "--probe")) return probe();
  make_native();
  int failed = check(count > 1 ? atoi(words[1]) : 40, count > 2 ? words[2] : NULL);
  if (count <= 2) failed |= check_random();
  return failed;
}
