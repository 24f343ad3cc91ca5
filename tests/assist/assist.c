/* Preloaded into a virtual machine monitor (LD_PRELOAD) where KVM runs guests by its instruction
   emulator (kvm_pvm, a host without hardware virtualization). That emulator ends a guest with
   KVM_INTERNAL_ERROR_EMULATION at SSE, x87, MMX and AES instructions, popcnt, cmpxchg16b, rdrand
   and others. This library executes these natively, on the guest's registers and memory, and
   resumes the guest. Everything else stays KVM's: interrupt controllers, clocks, MSRs, exits.

   - It injects the exceptions that the instruction raises: #PF, #GP (alignment), #NM, #UD, #MF,
   #XM.
   - It removes AVX, BMI and XSAVE from the CPUID that the monitor sees: KVM's emulator decodes no
     VEX prefix. kvm_pvm shows guests the host's CPUID all the same; XGETBV says that AVX is off,
     and programs use BMI1 and BMI2, whose instructions are executed here.
   - Limits: one machine a process; the guest's kernel mode only (in user mode KVM injects #UD); no
   5-level paging, SMEP, SMAP or protection keys; pages that it writes are missing in KVM's log of
   dirty pages; no maskmovq, maskmovdqu and SSE4a; an unmasked overflow also sets MXCSR.PE, an
   unmasked underflow is missed where the result is exact, and dpps and dppd don't stop at their
   first exception.

   tests/assist/check.c compares each class of instructions with the processor, but XSAVE and
   XRSTOR, whose components are the processor's there. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { UD = 6, NM = 7, GP = 13, PF = 14, MF = 16, XM = 19 };
enum { BATCH = 64, SLOTS = 512, DESCRIPTORS = 4096, WIDEST = 112 };

static int (*real_ioctl)(int, unsigned long, ...);
static struct {
  uint64_t physical, size;
  char *host;
} slots[SLOTS];
static pthread_rwlock_t slots_lock = PTHREAD_RWLOCK_INITIALIZER;
static struct kvm_run *vcpus[DESCRIPTORS]; /* by the file descriptor of the vCPU */

/* Whether this processor's instructions of SHA need their operands aligned: some do, some don't. */
static bool hashes_aligned;

/* Tries it in a child, which a fault ends: the monitors have handlers of their own. */
static bool try_hash(void) {
  pid_t child = fork();
  if (child == 0) {
    static char bytes[32] __attribute__((aligned(16)));
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    __asm__ volatile(".byte 0x0f, 0x38, 0xc8, 0x00" : : "a"(bytes + 1) : "xmm0"); /* sha1nexte */
    _exit(0);
  }
  int status = 0;
  return child < 0 || waitpid(child, &status, 0) != child || status != 0;
}

__attribute__((constructor)) static void start(void) {
  real_ioctl = dlsym(RTLD_NEXT, "ioctl");
  hashes_aligned = try_hash();
}

/* The host's address of a guest's physical address, NULL for one that is no memory. */
static char *memory_at(uint64_t physical) {
  for (int i = 0; i < SLOTS; i++)
    if (physical - slots[i].physical < slots[i].size)
      return slots[i].host + (physical - slots[i].physical);
  return NULL;
}

/* The state of a vCPU, and the exception that it is to get. */
struct cpu {
  struct kvm_regs regs;
  struct kvm_sregs sregs;
  struct kvm_xsave xsave; /* begins with an FXSAVE image */
  bool has_xsave;
  int fd, vector; /* -1: none */
  uint32_t error;
  uint64_t address; /* of a page fault */
};

enum access { READ, WRITE, FETCH };

static void raise_exception(struct cpu *cpu, int vector, uint32_t error) {
  cpu->vector = vector;
  cpu->error = error;
}

/* The host's address of the byte at `linear`. NULL: a page fault (`cpu->vector` is set), or no
   memory. */
static char *translate(struct cpu *cpu, uint64_t linear, enum access access) {
  const struct kvm_sregs *s = &cpu->sregs;
  bool user = s->cs.dpl == 3, no_execute = s->efer & (1 << 11);
  uint32_t error =
      (access == WRITE ? 2 : 0) | (user ? 4 : 0) | (access == FETCH && no_execute ? 16 : 0);
  if (!(s->cr0 & 0x80000000)) return memory_at(linear);
  if (!(s->efer & (1 << 10))) return NULL;
  cpu->address = linear;
  uint64_t table = s->cr3;
  for (int shift = 39;; shift -= 9) {
    uint64_t *entry =
        (uint64_t *)memory_at((table & 0x000ffffffffff000) + ((linear >> shift) & 511) * 8);
    if (!entry) return NULL;
    uint64_t value = __atomic_load_n(entry, __ATOMIC_RELAXED);
    if (!(value & 1)) return raise_exception(cpu, PF, error), NULL;
    bool refused = (access == WRITE && !(value & 2) && (user || s->cr0 & 0x10000)) ||
                   (user && !(value & 4)) || (access == FETCH && no_execute && value >> 63);
    if (refused) return raise_exception(cpu, PF, error | 1), NULL;
    bool leaf = shift == 12 || value & 0x80;
    uint64_t bits = 0x20 | (leaf && access == WRITE ? 0x40 : 0);
    if ((value & bits) != bits) __atomic_or_fetch(entry, bits, __ATOMIC_SEQ_CST);
    if (leaf) {
      uint64_t inside = (1ull << shift) - 1;
      return memory_at((value & 0x000ffffffffff000 & ~inside) | (linear & inside));
    }
    table = value;
  }
}

static uint64_t *general(struct kvm_regs *r, int number) {
  static const uint8_t offset[8] = {offsetof(struct kvm_regs, rax), offsetof(struct kvm_regs, rcx),
                                    offsetof(struct kvm_regs, rdx), offsetof(struct kvm_regs, rbx),
                                    offsetof(struct kvm_regs, rsp), offsetof(struct kvm_regs, rbp),
                                    offsetof(struct kvm_regs, rsi), offsetof(struct kvm_regs, rdi)};
  if (number >= 8) return (uint64_t *)&r->r8 + (number - 8);
  return (uint64_t *)((char *)r + offset[number]);
}

struct instruction {
  int length, map, opcode, modrm; /* map 0: x87; 1: 0F; 2: 0F 38; 3: 0F 3A */
  int rex, prefix;                /* 0, or the mandatory one: 0x66, 0xf3, 0xf2 */
  int vex; /* the third byte of a VEX prefix, and 0x100; 0 without one */
  bool operand16, locked, memory, immediate;
  uint8_t immediate_value;
  uint64_t address; /* linear, of the operand in memory */
};

static int reg_of(const struct instruction *i) { return (i->modrm >> 3) & 7; }

/* The bytes of the operand in memory, 0 for none; *store if it is written, else it is read.
   -1: not an instruction of this library. */
static int operand_size(const struct instruction *i, bool *store) {
  int op = i->opcode, p = i->prefix, reg = reg_of(i), word = i->rex & 8 ? 8 : i->operand16 ? 2 : 4;
  int full = p ? 16 : 8; /* of an operation with an MMX and an SSE form */
  *store = false;
  if (i->vex) { /* BMI1 and BMI2 */
    bool known = i->map == 3 ? op == 0xf0 && p == 0xf2
                 : op == 0xf2 ? p == 0
                 : op == 0xf3 ? p == 0 && reg >= 1 && reg <= 3
                 : op == 0xf5 ? p != 0x66
                 : op == 0xf6 ? p == 0xf2
                              : op == 0xf7;
    return known ? i->rex & 8 ? 8 : 4 : -1;
  }
  if (i->map == 0) {
    static const uint8_t sizes[8][8] = {{4, 4, 4, 4, 4, 4, 4, 4}, {4, 0, 4, 4, 28, 2, 28, 2},
                                        {4, 4, 4, 4, 4, 4, 4, 4}, {4, 4, 4, 4, 0, 10, 0, 10},
                                        {8, 8, 8, 8, 8, 8, 8, 8}, {8, 8, 8, 8, 108, 0, 108, 2},
                                        {2, 2, 2, 2, 2, 2, 2, 2}, {2, 2, 2, 2, 10, 8, 10, 8}};
    static const uint8_t stores[8] = {0, 0xcc, 0, 0x8e, 0, 0xce, 0, 0xce};
    *store = stores[op & 7] >> reg & 1;
    if (i->memory && !sizes[op & 7][reg]) return -1;
    return sizes[op & 7][reg];
  }
  if (i->map == 1) switch (op) {
      case 0x11: *store = true; /* fall through */
      case 0x10: return p == 0xf3 ? 4 : p == 0xf2 ? 8 : 16;
      case 0x13:
      case 0x17: *store = true; return p == 0 || p == 0x66 ? 8 : -1;
      case 0x12:
      case 0x16: return p == 0xf3 ? 16 : 8;
      case 0x14:
      case 0x15:
      case 0x28:
      case 0x54 ... 0x57:
      case 0xc6: return 16;
      case 0x29:
      case 0x2b: *store = true; return 16;
      case 0x2a: return p == 0 || p == 0x66 ? 8 : i->rex & 8 ? 8 : 4;
      case 0x2c:
      case 0x2d: return p == 0x66 ? 16 : p == 0xf3 ? 4 : 8;
      case 0x2e:
      case 0x2f: return p == 0x66 ? 8 : 4;
      case 0x5a: return p == 0 || p == 0xf2 ? 8 : p == 0xf3 ? 4 : 16;
      case 0x51 ... 0x53:
      case 0x58:
      case 0x59:
      case 0x5c ... 0x5f:
      case 0xc2: return p == 0xf3 ? 4 : p == 0xf2 ? 8 : 16;
      case 0x5b: return 16;
      case 0x60 ... 0x62: return p ? 16 : 4;
      case 0x6e: return i->rex & 8 ? 8 : 4;
      case 0x7e:
        if (p == 0xf3) return 8;
        *store = true;
        return i->rex & 8 ? 8 : 4;
      case 0x7f: *store = true; return full;
      case 0x50:
      case 0x71 ... 0x73:
      case 0xc5:
      case 0xd7: return i->memory ? -1 : 0;
      case 0x77: return 0;
      case 0x63 ... 0x6d:
      case 0x6f ... 0x70:
      case 0x74 ... 0x76: return full;
      case 0x7c:
      case 0x7d:
      case 0xd0: return 16;
      case 0xae:
        if (!i->memory) return reg >= 5 ? 0 : -1;
        *store = reg == 3;
        return reg == 2 || reg == 3 ? 4 : reg == 7 ? 1 : -1;
      case 0xb8: return p == 0xf3 ? word : -1;
      case 0xc3: *store = true; return i->rex & 8 ? 8 : 4;
      case 0xc4: return 2;
      case 0xc7:
        if (!i->memory) return reg >= 6 ? 0 : -1;
        return reg == 1 && i->rex & 8 ? 16 : -1;
      case 0xd6:
        if (p != 0x66) return i->memory ? -1 : 0;
        *store = true;
        return 8;
      case 0xe6: return p == 0xf3 ? 8 : 16;
      case 0xe7: *store = true; return full;
      case 0xf7: return -1;
      case 0xd1 ... 0xd5:
      case 0xd8 ... 0xe5:
      case 0xe8 ... 0xf6:
      case 0xf8 ... 0xfe: return full;
      default: return -1;
    }
  if (i->map == 2) switch (op) {
      case 0x00 ... 0x0b:
      case 0x1c ... 0x1e: return full;
      case 0x20:
      case 0x23:
      case 0x25:
      case 0x30:
      case 0x33:
      case 0x35: return 8;
      case 0x21:
      case 0x24:
      case 0x31:
      case 0x34: return 4;
      case 0x22:
      case 0x32: return 2;
      case 0x10:
      case 0x14:
      case 0x15:
      case 0x17:
      case 0x28 ... 0x2b:
      case 0x37 ... 0x41:
      case 0xc8 ... 0xcd:
      case 0xcf:
      case 0xdb ... 0xdf: return 16;
      case 0xf0: return p == 0xf2 ? 1 : -1;
      case 0xf1: return p == 0xf2 ? word : -1;
      case 0xf6: return p == 0x66 || p == 0xf3 ? (i->rex & 8 ? 8 : 4) : -1;
      default: return -1;
    }
  switch (op) {
    case 0x0a:
    case 0x21: return 4;
    case 0x0b: return 8;
    case 0x0f: return full;
    case 0x14: *store = true; return 1;
    case 0x15: *store = true; return 2;
    case 0x16: *store = true; return i->rex & 8 ? 8 : 4;
    case 0x17: *store = true; return 4;
    case 0x20: return 1;
    case 0x22: return i->rex & 8 ? 8 : 4;
    case 0x08:
    case 0x09:
    case 0x0c ... 0x0e:
    case 0x40 ... 0x42:
    case 0x44:
    case 0x60 ... 0x63:
    case 0xcc:
    case 0xce:
    case 0xcf:
    case 0xdf: return 16;
    default: return -1;
  }
}

/* The instructions of SHA. */
static bool hashes(const struct instruction *i) {
  return (i->map == 2 && i->opcode >= 0xc8 && i->opcode <= 0xcd) ||
         (i->map == 3 && i->opcode == 0xcc);
}

/* Whether an operand of 16 bytes needn't be aligned. */
static bool unaligned(const struct instruction *i) {
  int op = i->opcode;
  if (i->map == 1)
    return op == 0x10 || op == 0x11 || ((op == 0x6f || op == 0x7f) && i->prefix == 0xf3) ||
           op == 0xf0;
  return (hashes(i) && !hashes_aligned) || (i->map == 3 && op >= 0x60 && op <= 0x63);
}

/* Whether it uses the x87 stack's registers as MMX. */
static bool mmx(const struct instruction *i) {
  int op = i->opcode, p = i->prefix;
  if (i->map == 1) {
    if (op == 0x2a || op == 0x2c || op == 0x2d) return p == 0 || p == 0x66;
    if (op == 0xd6) return p == 0xf2 || p == 0xf3;
    return p == 0 && ((op >= 0x60 && op <= 0x7f) || op == 0xc4 || op == 0xc5 || op >= 0xd0);
  }
  return p == 0 && ((i->map == 2 && op < 0x20) || (i->map == 3 && op == 0x0f));
}

/* Whether it uses general registers and flags only. */
static bool integer(const struct instruction *i) {
  int op = i->opcode;
  if (i->vex) return true;
  return (i->map == 1 && (op == 0xae || op == 0xb8 || op == 0xc3 || op == 0xc7)) ||
         (i->map == 2 && op >= 0xf0);
}

/* x87 instructions that don't wait for a pending exception, FN… */
static bool no_wait(const struct instruction *i) {
  int op = i->opcode, reg = reg_of(i);
  if (i->memory)
    return (op == 0xd9 && (reg == 6 || reg == 7)) || (op == 0xdd && (reg == 6 || reg == 7));
  return (op == 0xdb && (i->modrm == 0xe2 || i->modrm == 0xe3)) || (op == 0xdf && i->modrm == 0xe0);
}

/* Decodes the instruction at RIP. False: not one of this library, or a fault. */
static bool decode(struct cpu *cpu, struct instruction *i) {
  struct kvm_regs *r = &cpu->regs;
  const struct kvm_sregs *s = &cpu->sregs;
  bool wide = s->cs.l;
  if (!wide && !s->cs.db) return false;
  uint8_t bytes[15];
  int have = 0;
  for (uint64_t from = wide ? r->rip : (uint32_t)(s->cs.base + r->rip); have < 15; have++) {
    char *byte = translate(cpu, from + have, FETCH);
    if (!byte) break;
    bytes[have] = *byte;
  }
  /* A fetch that faults is KVM's, which sees it when it executes an instruction up to there. */
  cpu->vector = -1;
  memset(i, 0, sizeof *i);
  uint64_t base = wide ? 0 : s->ds.base;
  bool short_address = !wide;
  int n = 0;
  for (; n < have; n++) {
    uint8_t b = bytes[n];
    if (b == 0x66)
      i->operand16 = true;
    else if (b == 0xf2 || b == 0xf3)
      i->prefix = b;
    else if (b == 0xf0)
      i->locked = true;
    else if (b == 0x64)
      base = s->fs.base;
    else if (b == 0x65)
      base = s->gs.base;
    else if (b == 0x67 && wide)
      short_address = true;
    else if (b != 0x2e && b != 0x36 && b != 0x3e && b != 0x26)
      break;
  }
  if (!i->prefix && i->operand16) i->prefix = 0x66;
  if (wide && n < have && (bytes[n] & 0xf0) == 0x40) i->rex = bytes[n++];
  if (n + 3 >= 15 || n >= have) return false;
  if (bytes[n] == 0xc4 && wide) {
    static const uint8_t prefixes[4] = {0, 0x66, 0xf3, 0xf2};
    /* Prefixes of segments and addresses may stand before it. */
    if (i->prefix || i->locked || i->rex || n + 5 > have) return false;
    i->rex = 0x40 | (~bytes[n + 1] >> 5 & 7) | (bytes[n + 2] >> 4 & 8);
    i->map = bytes[n + 1] & 31;
    i->vex = bytes[n + 2] | 0x100;
    i->prefix = prefixes[bytes[n + 2] & 3];
    if (i->map < 2 || i->map > 3 || i->vex & 4) return false;
    n += 3;
  } else if (bytes[n] == 0x0f) {
    i->map = 1;
    n++;
    if (bytes[n] == 0x38 || bytes[n] == 0x3a) i->map = bytes[n++] == 0x38 ? 2 : 3;
  } else if ((bytes[n] & 0xf8) != 0xd8) {
    return false;
  }
  i->opcode = bytes[n++];
  if (n > have) return false;
  if (i->map == 1 && i->opcode == 0x77) return i->length = n, i->modrm = 0xc0, true;
  if (n >= have) return false;
  i->modrm = bytes[n++];
  int mod = i->modrm >> 6, rm = i->modrm & 7;
  i->memory = mod != 3;
  bool relative = false;
  uint64_t address = 0;
  if (i->memory) {
    int from = rm;
    if (rm == 4) {
      if (n >= have) return false;
      int sib = bytes[n++], index = ((sib >> 3) & 7) | (i->rex & 2 ? 8 : 0);
      from = sib & 7;
      if (index != 4) address = *general(r, index) << (sib >> 6);
      if (!wide && (from == 4 || from == 5) && s->ss.base != base) return false;
    }
    if (mod == 0 && from == 5)
      relative = wide && rm == 5;
    else
      address += *general(r, from | (i->rex & 1 ? 8 : 0));
    int32_t displacement = 0;
    if (mod == 1) {
      if (n >= have) return false;
      displacement = (int8_t)bytes[n++];
    } else if (mod == 2 || (mod == 0 && from == 5)) {
      if (n + 4 > have) return false;
      memcpy(&displacement, bytes + n, 4);
      n += 4;
    }
    address += (int64_t)displacement;
  }
  int op = i->opcode;
  i->immediate =
      i->map == 3 ||
      (i->map == 1 && ((op >= 0x70 && op <= 0x73) || op == 0xc2 || (op >= 0xc4 && op <= 0xc6)));
  if (i->immediate && n < have) i->immediate_value = bytes[n];
  i->length = n + i->immediate;
  if (i->length > have) return false;
  if (relative) address += r->rip + i->length;
  i->address = base + (short_address ? (uint32_t)address : address);
  if (!wide) i->address = (uint32_t)i->address;
  return true;
}

/* The host's addresses of an operand that spans one page or two. False: a fault, or no memory. */
struct operand {
  char *first, *second;
  int before; /* the border */
};
static bool find(struct cpu *cpu, uint64_t linear, int size, enum access access,
                 struct operand *o) {
  int left = 4096 - (linear & 4095);
  o->before = size < left ? size : left;
  o->second = NULL;
  if (!(o->first = translate(cpu, linear, access))) return false;
  return o->before == size || (o->second = translate(cpu, linear + left, access));
}

/* Copies whole words of 8 bytes where both addresses allow it: other processors see no parts. */
static void copy(char *to, const char *from, int size) {
  while (size > 0) {
    if (size >= 8 && !(((uintptr_t)to | (uintptr_t)from) & 7)) {
      __atomic_store_n((uint64_t *)to, __atomic_load_n((const uint64_t *)from, __ATOMIC_ACQUIRE),
                       __ATOMIC_RELEASE);
      to += 8, from += 8, size -= 8;
    } else if (size >= 4 && !(((uintptr_t)to | (uintptr_t)from) & 3)) {
      __atomic_store_n((uint32_t *)to, __atomic_load_n((const uint32_t *)from, __ATOMIC_ACQUIRE),
                       __ATOMIC_RELEASE);
      to += 4, from += 4, size -= 4;
    } else {
      *to++ = *from++, size--;
    }
  }
}

/* One a thread: code, and data within reach of it. */
struct room {
  uint8_t code[1024];
  uint64_t registers[16], flags, host_rsp, host_flags;
  uint8_t guest_fx[512] __attribute__((aligned(64))), host_fx[512] __attribute__((aligned(64)));
  char operand[64 + WIDEST] __attribute__((aligned(64)));
};
static __thread struct room *room;

static uint8_t *emit(uint8_t *at, const char *bytes, int n) {
  return (uint8_t *)memcpy(at, bytes, n) + n;
}
/* An instruction whose operand is [rip + …], followed by `after` more bytes. */
static uint8_t *emit_at(uint8_t *at, const char *bytes, int n, const void *operand, int after) {
  at = emit(at, bytes, n);
  int32_t distance = (const uint8_t *)operand - (at + 4 + after);
  return emit(at, (const char *)&distance, 4);
}
static uint8_t *emit_registers(uint8_t *at, char move) {
  for (int k = 0; k < 16; k++) {
    char bytes[3] = {k >= 8 ? 0x4c : 0x48, move, (k & 7) << 3 | 5};
    at = emit_at(at, bytes, 3, &room->registers[k], 0);
  }
  return at;
}

/* Executes the instruction with all registers of the guest, RSP too: signals are blocked. Its
   operand in memory is `operand`. */
static void execute(const struct instruction *i, const char *operand) {
  uint8_t *c = room->code;
  c = emit(c, "\x53\x55\x41\x54\x41\x55\x41\x56\x41\x57",
           10); /* push the registers of the caller */
  c = emit(c, "\x9c", 1);
  c = emit_at(c, "\x8f\x05", 2, &room->host_flags, 0);
  c = emit_at(c, "\x48\x89\x25", 3, &room->host_rsp, 0);
  c = emit_at(c, "\x48\x0f\xae\x05", 4, room->host_fx, 0);
  c = emit_at(c, "\x48\x0f\xae\x0d", 4, room->guest_fx, 0);
  c = emit_at(c, "\xff\x35", 2, &room->flags, 0);
  c = emit(c, "\x9d", 1);
  c = emit_registers(c, 0x8b);
  char rex = i->memory ? i->rex & ~3 : i->rex;
  if (i->vex) {
    char bytes[3] = {0xc4, (~rex & 7) << 5 | i->map, i->vex};
    c = emit(c, bytes, 3);
  } else {
    if (i->operand16) c = emit(c, "\x66", 1);
    if (i->prefix == 0xf2 || i->prefix == 0xf3)
      c = emit(c, i->prefix == 0xf2 ? "\xf2" : "\xf3", 1);
    if (rex) c = emit(c, &rex, 1);
    if (i->map) c = emit(c, "\x0f", 1);
    if (i->map >= 2) c = emit(c, i->map == 2 ? "\x38" : "\x3a", 1);
  }
  char opcode = i->opcode, modrm = i->modrm, last = i->immediate_value;
  c = emit(c, &opcode, 1);
  if (i->memory) {
    modrm = (i->modrm & 0x38) | 5;
    c = emit_at(c, &modrm, 1, operand, i->immediate);
  } else if (!(i->map == 1 && i->opcode == 0x77)) {
    c = emit(c, &modrm, 1);
  }
  if (i->immediate) c = emit(c, &last, 1);
  c = emit_registers(c, 0x89);
  c = emit_at(c, "\x48\x8b\x25", 3, &room->host_rsp, 0);
  c = emit(c, "\x9c", 1);
  c = emit_at(c, "\x8f\x05", 2, &room->flags, 0);
  c = emit_at(c, "\x48\x0f\xae\x05", 4, room->guest_fx, 0);
  c = emit_at(c, "\x48\x0f\xae\x0d", 4, room->host_fx, 0);
  c = emit_at(c, "\xff\x35", 2, &room->host_flags, 0);
  c = emit(c, "\x9d", 1);
  emit(c, "\x41\x5f\x41\x5e\x41\x5d\x41\x5c\x5d\x5b\xc3", 11);
  ((void (*)(void))room->code)();
}

static void read_xsave(struct cpu *cpu) {
  if (cpu->has_xsave) return;
  real_ioctl(cpu->fd, KVM_GET_XSAVE, &cpu->xsave);
  cpu->has_xsave = true;
  /* Parts whose bit is clear are in their initial state, whatever their bytes. */
  uint32_t *x = cpu->xsave.region;
  uint64_t *present = (uint64_t *)(x + 128);
  if (!(*present & 1)) memset(x, 0, 24), memset(x + 8, 0, 128), x[0] = 0x37f;
  if (!(*present & 2)) memset(x + 40, 0, 256);
  if (!(*present & 6)) x[6] = 0x1f80;
  *present |= 3;
}

/* cmpxchg16b, on the guest's memory itself. */
static bool compare_exchange(struct cpu *cpu, uint64_t linear) {
  struct operand o;
  if (linear & 15) return raise_exception(cpu, GP, 0), true;
  if (!find(cpu, linear, 16, WRITE, &o)) return cpu->vector >= 0;
  struct kvm_regs *r = &cpu->regs;
  uint64_t low = r->rax, high = r->rdx;
  bool equal;
  __asm__ volatile("lock cmpxchg16b %1"
                   : "=@ccz"(equal), "+m"(*(unsigned __int128 *)o.first), "+a"(low), "+d"(high)
                   : "b"(r->rbx), "c"(r->rcx)
                   : "memory");
  r->rax = low, r->rdx = high;
  r->rflags = (r->rflags & ~0x40ull) | (equal ? 0x40 : 0);
  return true;
}

/* The exception of a unit that is switched off, or -1. */
static int unavailable(const struct cpu *cpu, const struct instruction *i) {
  const struct kvm_sregs *s = &cpu->sregs;
  bool stack = i->map == 0 || mmx(i) || (i->map == 1 && i->opcode == 0x77);
  if (integer(i) && !(i->opcode == 0xae && i->memory)) return -1;
  if (i->map == 0) return s->cr0 & 0xc ? NM : -1;
  if (s->cr0 & 4 || (!stack && !(s->cr4 & 0x200))) return UD;
  return s->cr0 & 8 ? NM : -1;
}

/* What an instruction of MMX does to the x87 unit, though it ends by #XM: the top becomes 0, and
   all registers valid. FXSAVE has them from the top on. */
static void begin_mmx(uint8_t *fx) {
  uint8_t before[128];
  int top = fx[3] >> 3 & 7;
  memcpy(before, fx + 32, sizeof before);
  for (int k = 0; k < 8; k++) memcpy(fx + 32 + 16 * k, before + 16 * ((k - top) & 7), 16);
  fx[3] &= ~0x38;
  fx[4] = 0xff;
}

/* XSAVE and XRSTOR of the components that XGETBV reports, x87 and SSE. */
static bool save_or_restore(struct cpu *cpu, const struct instruction *i) {
  enum { HEADER = 512, AREA = 576 };
  static const struct {
    uint64_t component;
    int from, to;
  } parts[] = {{1, 0, 24}, {2, 24, 28}, {1, 32, 160}, {2, 160, 416}};
  bool restores = reg_of(i) == 5;
  uint64_t wanted = cpu->regs.rax & 3, header[8];
  char area[AREA], *fx = (char *)cpu->xsave.region;
  struct operand o;
  if (cpu->sregs.cr0 & 8) return raise_exception(cpu, NM, 0), true;
  if (i->address & 63) return raise_exception(cpu, GP, 0), true;
  if (!find(cpu, i->address, AREA, restores ? READ : WRITE, &o)) return cpu->vector >= 0;
  read_xsave(cpu);
  copy(area, o.first, o.before);
  if (o.second) copy(area + o.before, o.second, AREA - o.before);
  memcpy(header, area + HEADER, sizeof header);
  uint32_t mxcsr, mask;
  memcpy(&mxcsr, area + 24, 4);
  memcpy(&mask, fx + 28, 4);
  bool refused = header[0] & ~3ull || (wanted & 2 && mxcsr & ~(mask ? mask : 0xffbf));
  for (int k = 1; k < 8; k++) refused |= header[k] != 0;
  if (restores && refused) return raise_exception(cpu, GP, 0), true;
  for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
    int from = parts[k].from, size = parts[k].to - from;
    if (!(wanted & parts[k].component)) continue;
    if (!restores) {
      memcpy(area + from, fx + from, size);
    } else if (header[0] & parts[k].component || from == 24) {
      memcpy(fx + from, area + from, size);
    } else {
      memset(fx + from, 0, size);
      if (from == 0) fx[0] = 0x7f, fx[1] = 0x03;
    }
  }
  if (!restores) {
    if (wanted & 2) memcpy(area + 28, &mask, 4);
    header[0] |= wanted;
    memcpy(area + HEADER, header, 8);
    copy(o.first, area, o.before);
    if (o.second) copy(o.second, area + o.before, AREA - o.before);
  }
  cpu->regs.rip += i->length;
  return true;
}

/* Carries out the instruction at RIP, or sets the exception that it raises. False: it is neither.
 */
static bool step(struct cpu *cpu) {
  struct instruction i;
  bool store;
  if (!decode(cpu, &i)) return false;
  struct kvm_regs *r = &cpu->regs;
  if (i.map == 1 && i.opcode == 0x01 && (i.modrm == 0xd0 || i.modrm == 0xd1)) {
    /* XGETBV and XSETBV: x87 and SSE are enabled, in use, and all there is, so that no program
       executes AVX, although kvm_pvm shows the host's CPUID. */
    if (i.modrm == 0xd0) r->rax = 3, r->rdx = 0;
    r->rip += i.length;
    return true;
  }
  if (i.map == 1 && i.opcode == 0xae && i.memory && !i.prefix && (reg_of(&i) & 6) == 4)
    return save_or_restore(cpu, &i);
  int size = operand_size(&i, &store), vector = unavailable(cpu, &i);
  if (size < 0 || (i.memory && size == 0)) return false;
  if (i.locked && !(i.map == 1 && i.opcode == 0xc7 && i.memory)) return false;
  if (vector >= 0) return raise_exception(cpu, vector, 0), true;
  if (i.map == 1 && i.opcode == 0xc7 && i.memory) {
    bool done = compare_exchange(cpu, i.address);
    if (done && cpu->vector < 0) r->rip += i.length;
    return done;
  }
  read_xsave(cpu);
  uint32_t *fx = cpu->xsave.region, status = fx[0] >> 16, control = fx[0] & 0xffff, *mxcsr = &fx[6],
           mask = fx[7];
  bool waits = (i.map == 0 && !no_wait(&i)) || mmx(&i);
  if (waits && status & ~control & 0x3f) return raise_exception(cpu, MF, 0), true;
  if (i.memory && size == 16 && i.address & 15 && !unaligned(&i))
    return raise_exception(cpu, GP, 0), true;
  if (!room) {
    room = mmap(NULL, sizeof *room, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
                -1, 0);
    if (room == MAP_FAILED) abort();
  }
  struct operand o;
  char *operand = room->operand + (hashes(&i) ? 0 : i.address & 63);
  if (i.memory) {
    if (!find(cpu, i.address, size, store ? WRITE : READ, &o)) return cpu->vector >= 0;
    /* Of stores, too: an x87 instruction that ends by an unmasked exception may write nothing. */
    copy(operand, o.first, o.before);
    if (o.second) copy(operand + o.before, o.second, size - o.before);
  }
  bool group15 = i.map == 1 && i.opcode == 0xae;
  if (group15 && i.memory && reg_of(&i) == 2) {
    uint32_t value;
    memcpy(&value, operand, 4);
    if (value & ~(mask ? mask : 0xffbf)) return raise_exception(cpu, GP, 0), true;
    *mxcsr = value;
  } else if (group15 && i.memory && reg_of(&i) == 3) {
    memcpy(operand, mxcsr, 4);
  } else if (!group15) {
    uint32_t before = *mxcsr;
    uint64_t pointer = *(uint64_t *)(fx + 2);
    memcpy(room->guest_fx, fx, 512);
    /* Masked, since the exception is the guest's. */
    *(uint32_t *)(room->guest_fx + 24) = (before | 0x1f80) & ~0x3fu;
    for (int k = 0; k < 16; k++) room->registers[k] = *general(r, k);
    room->flags = (r->rflags & 0x8d5) | 2;
    execute(&i, operand);
    uint32_t raised = *(uint32_t *)(room->guest_fx + 24) & 0x3f, unmasked = raised & ~(before >> 7);
    /* Invalid, denormal and divide precede the computation, which raises the others. */
    *mxcsr = before | (unmasked & 7 ? raised & 7 : raised);
    if (unmasked) {
      if (mmx(&i) && !(i.opcode == 0x2a && i.memory)) begin_mmx((uint8_t *)fx);
      return raise_exception(cpu, cpu->sregs.cr4 & 0x400 ? XM : UD, 0), true;
    }
    *(uint32_t *)(room->guest_fx + 24) = *mxcsr;
    memcpy(fx, room->guest_fx, 416);
    fx[7] = mask;
    if (*(uint64_t *)(fx + 2) != pointer && i.map == 0) {
      *(uint64_t *)(fx + 2) = r->rip;
      if (i.memory) *(uint64_t *)(fx + 4) = i.address;
    }
    for (int k = 0; k < 16; k++) *general(r, k) = room->registers[k];
    r->rflags = (r->rflags & ~0x8d5ull) | (room->flags & 0x8d5);
  }
  if (store && i.memory) {
    copy(o.first, operand, o.before);
    if (o.second) copy(o.second, operand + o.before, size - o.before);
  }
  r->rip += i.length;
  return true;
}

static void inject(struct cpu *cpu) {
  struct kvm_vcpu_events events;
  real_ioctl(cpu->fd, KVM_GET_VCPU_EVENTS, &events);
  memset(&events.exception, 0, sizeof events.exception);
  events.exception.injected = 1;
  events.exception.nr = cpu->vector;
  events.exception.has_error_code = cpu->vector == GP || cpu->vector == PF;
  events.exception.error_code = cpu->error;
  if (cpu->vector == PF) {
    cpu->sregs.cr2 = cpu->address;
    real_ioctl(cpu->fd, KVM_SET_SREGS, &cpu->sregs);
  }
  real_ioctl(cpu->fd, KVM_SET_VCPU_EVENTS, &events);
}

/* Carries out the instructions at RIP that KVM's emulator refuses. False if there is none. */
static bool carry_out(int fd) {
  struct cpu cpu = {.fd = fd, .vector = -1};
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_rwlock_rdlock(&slots_lock);
  real_ioctl(fd, KVM_GET_REGS, &cpu.regs);
  real_ioctl(fd, KVM_GET_SREGS, &cpu.sregs);
  int done = 0;
  while (done < BATCH && cpu.vector < 0 && step(&cpu)) done++;
  if (done) {
    real_ioctl(fd, KVM_SET_REGS, &cpu.regs);
    if (cpu.has_xsave) real_ioctl(fd, KVM_SET_XSAVE, &cpu.xsave);
    if (cpu.vector >= 0) inject(&cpu);
  }
  pthread_rwlock_unlock(&slots_lock);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return done;
}

/* Removes what KVM's emulator doesn't decode: AVX and all that needs it, BMI1, BMI2, XSAVE. */
static void hide(struct kvm_cpuid2 *cpuid) {
  for (uint32_t k = 0; k < cpuid->nent; k++) {
    struct kvm_cpuid_entry2 *e = &cpuid->entries[k];
    if (e->function == 1)
      e->ecx &= ~(1u << 12 | 3u << 26 | 3u << 28); /* FMA, XSAVE, OSXSAVE, AVX, F16C */
    if (e->function == 7 && e->index == 0) {
      e->ebx &= ~(1u << 3 | 1u << 5 | 1u << 8 | 3u << 16 | 1u << 21 | 1u << 28 |
                  3u << 30); /* BMI1, AVX2, BMI2, AVX-512 */
      e->ecx &=
          ~(1u << 1 | 1u << 6 | 3u << 9 | 3u << 11 | 1u << 14); /* AVX-512, VAES, VPCLMULQDQ */
      /* AVX-512; the MSR of capabilities, whose value kvm_pvm offers and then refuses */
      e->edx &= ~(3u << 2 | 1u << 8 | 1u << 23 | 1u << 29);
    }
    if (e->function == 7 && e->index == 1) e->eax = 0; /* forms of AVX, and optional others */
    if (e->function == 0xd) e->eax = e->ebx = e->ecx = e->edx = 0;
    if (e->function == 0x80000001)
      e->ecx &= ~(3u << 5 | 1u << 11 | 1u << 16 |
                  1u << 21); /* LZCNT (taken for bsr), SSE4a, XOP, FMA4, TBM */
  }
}

static void note_slot(const struct kvm_userspace_memory_region *m) {
  if (m->slot >= SLOTS) return; /* the address space of system management mode */
  pthread_rwlock_wrlock(&slots_lock);
  slots[m->slot].physical = m->guest_phys_addr;
  slots[m->slot].size = m->memory_size;
  slots[m->slot].host = (char *)m->userspace_addr;
  pthread_rwlock_unlock(&slots_lock);
}

int ioctl(int fd, unsigned long request, ...) {
  va_list list;
  va_start(list, request);
  void *argument = va_arg(list, void *);
  va_end(list);
  if ((uint32_t)request == KVM_SET_CPUID2) hide(argument);
  int result = real_ioctl(fd, request, argument);
  switch ((uint32_t)request) {
    case KVM_RUN:
      while (result == 0 && fd < DESCRIPTORS && vcpus[fd] &&
             vcpus[fd]->exit_reason == KVM_EXIT_INTERNAL_ERROR &&
             vcpus[fd]->internal.suberror == KVM_INTERNAL_ERROR_EMULATION && carry_out(fd))
        result = real_ioctl(fd, request, argument);
      break;
    case KVM_CREATE_VCPU:
      if (result >= 0 && result < DESCRIPTORS) {
        /* The page that the monitor maps, too. */
        void *run =
            mmap(NULL, sizeof(struct kvm_run), PROT_READ | PROT_WRITE, MAP_SHARED, result, 0);
        vcpus[result] = run == MAP_FAILED ? NULL : run;
      }
      break;
    case KVM_SET_USER_MEMORY_REGION:
#ifdef KVM_SET_USER_MEMORY_REGION2
    case KVM_SET_USER_MEMORY_REGION2:
#endif
      if (result == 0) note_slot(argument);
      break;
    case KVM_GET_SUPPORTED_CPUID:
      if (result == 0) hide(argument);
      break;
    case KVM_GET_NESTED_STATE: /* none, which Cloud Hypervisor doesn't expect */
      if (result < 0 && errno == EINVAL) {
        struct kvm_nested_state *state = argument;
        memset(state, 0, sizeof *state);
        state->size = sizeof *state;
        result = 0;
      }
      break;
    case KVM_SET_NESTED_STATE:
      if (result < 0 && errno == EINVAL) result = 0;
      break;
  }
  return result;
}
