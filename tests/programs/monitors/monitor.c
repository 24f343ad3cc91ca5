/* A stand-in for virtual machine monitors that can't run here: a PVH program that QEMU boots with
   an image as its module. It lays out memory as the monitor does and enters the image by its note;
   the machine's devices are QEMU's. The first word of the command line names the monitor, the
   others are the image's:

     firecracker       on microvm: start info at 0x6000, RSDP at 0xE0000 and none in the start info,
                       at most 2048 bytes of command line, virtio-mmio devices on it. Source:
                       Firecracker 1.16, src/vmm/src/arch/x86_64/{mod,layout}.rs, and linux-loader
     firecracker-pci   on q35: the same, and 64-bit BARs from 256 GiB on (--enable-pci)
     cloud-hypervisor  on q35: RSDP at 0xA0000, in the start info, and 64-bit BARs at the end of the
                       physical addresses. Source: Cloud Hypervisor 53, arch/src/x86_64/layout.rs

   In C and not in Rust: PVH enters and leaves in 32-bit mode, for which there is no Rust target
   here. */

#include <stddef.h>
#include <stdint.h>

__asm__(".pushsection .note.Xen, \"a\", @note\n"
        ".long 4, 4, 18\n" /* XEN_ELFNOTE_PHYS32_ENTRY */
        ".asciz \"Xen\"\n"
        ".long start\n"
        ".popsection\n"
        ".globl start\n"
        "start:\n"
        "  movl $stack + 16384, %esp\n"
        "  pushl %ebx\n"
        "  call monitor\n");

char stack[16384];

/* Xen's xen/include/public/arch-x86/hvm/start_info.h. */
struct start_info {
  uint32_t magic, version, flags, modules;
  uint64_t modlist, cmdline, rsdp, memmap;
  uint32_t entries, reserved;
};
struct module {
  uint64_t address, size, cmdline, reserved;
};
struct region {
  uint64_t start, size;
  uint32_t type, reserved;
};

/* The ELF headers of a 64-bit file. */
struct elf {
  uint8_t ident[16];
  uint16_t type, machine;
  uint32_t version;
  uint64_t entry, headers, sections;
  uint32_t flags;
  uint16_t size, header_size, header_count;
};
struct header {
  uint32_t type, flags;
  uint64_t offset, virtual, physical, file_size, size, align;
};

#define AT(address) ((void *)(uintptr_t)(address))

/* The compiler calls these by itself. */
void *memcpy(void *to, const void *from, size_t size) {
  for (size_t i = 0; i < size; i++) ((volatile char *)to)[i] = ((const char *)from)[i];
  return to;
}
void *memset(void *to, int value, size_t size) {
  for (size_t i = 0; i < size; i++) ((volatile char *)to)[i] = (char)value;
  return to;
}

static void out8(uint16_t port, uint8_t value) {
  __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}
static uint8_t in8(uint16_t port) {
  uint8_t value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}
static void out32(uint16_t port, uint32_t value) {
  __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}
static uint32_t in32(uint16_t port) {
  uint32_t value;
  __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

static void print(const char *text) {
  for (; *text; text++) {
    while (!(in8(0x3fd) & 0x20)) {}
    out8(0x3f8, (uint8_t)*text);
  }
}
static _Noreturn void fail(const char *reason) {
  print("monitor: ");
  print(reason);
  print("\n");
  for (;;) __asm__ volatile("cli; hlt");
}

static size_t length(const char *text) {
  size_t count = 0;
  while (text[count]) count++;
  return count;
}

/* If `text` begins with `word` and a blank: what follows. */
static char *after(char *text, const char *word) {
  while (*word && *text == *word) text++, word++;
  return !*word && *text == ' ' ? text + 1 : NULL;
}

/* PCI configuration by ports (PCI Local Bus 3.0, 3.2.2.3.2). `address` is device * 8 + function, of
   bus 0. */
static uint32_t config(uint32_t address, uint32_t offset) {
  out32(0xcf8, 1u << 31 | address << 8 | offset);
  return in32(0xcfc);
}
static void set_config(uint32_t address, uint32_t offset, uint32_t value) {
  out32(0xcf8, 1u << 31 | address << 8 | offset);
  out32(0xcfc, value);
}

/* Makes the first MiB memory on q35, as it is in a monitor's machine: PAM0 to PAM6 and SMRAM's
   D_OPN (Intel 82G33 data sheet, 5.1). */
static void open_first_mib(void) {
  if (config(0, 0) != 0x29c08086) fail("not a q35 machine");
  set_config(0, 0x90, 0x33333330);
  set_config(0, 0x94, (config(0, 0x94) & 0xff000000) | 0x333333);
  set_config(0, 0x9c, config(0, 0x9c) | 0x40 << 8);
}

/* Moves the 64-bit BARs of all functions: upwards from `next`, or downwards. Decoding is off
   afterwards. */
static void move_bars(uint64_t next, int down) {
  for (uint32_t function = 0; function < 256; function++) {
    uint32_t vendor = config(function, 0) & 0xffff, header = config(function, 0xc) >> 16 & 0x7f;
    if (vendor == 0xffff || header != 0) continue;
    int moved = 0;
    for (uint32_t bar = 0x10; bar < 0x24; bar += 4) {
      uint32_t low = config(function, bar);
      if (low & 1 || (low & 6) != 4) continue;
      uint32_t command = config(function, 4) & 0xffff;
      set_config(function, 4, command & ~7u);
      set_config(function, bar, 0xffffffff);
      set_config(function, bar + 4, 0xffffffff);
      uint64_t mask = (uint64_t)config(function, bar + 4) << 32 | (config(function, bar) & ~15u);
      if (mask) {
        uint64_t size = ~mask + 1;
        next = down ? (next - size) & mask : (next + size - 1) & mask;
        set_config(function, bar, (uint32_t)next);
        set_config(function, bar + 4, (uint32_t)(next >> 32));
        if (!down) next += size;
        moved = 1;
      }
      bar += 4;
    }
    if (moved) print("monitor: moved BARs\n");
  }
}

/* The bits of a physical address. */
static uint32_t physical_bits(void) {
  uint32_t eax = 0x80000008, ebx, ecx, edx;
  __asm__("cpuid" : "+a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx));
  return eax & 0xff;
}

static char *append(char *to, const char *text) {
  while (*text) *to++ = *text++;
  *to = 0;
  return to;
}
static char *append_number(char *to, uint32_t value, uint32_t base) {
  char digits[12];
  int count = 0;
  do digits[count++] = "0123456789abcdef"[value % base];
  while (value /= base);
  while (count) *to++ = digits[--count];
  *to = 0;
  return to;
}

/* Names the virtio-mmio devices of microvm, as Firecracker does: 24 places of 512 bytes, whose
   interrupts are the inputs of the second I/O APIC. */
static void name_devices(char *line) {
  for (uint32_t place = 0; place < 24; place++) {
    uint32_t address = 0xfeb00000 + place * 512;
    volatile uint32_t *registers = AT(address);
    if (registers[0] != 0x74726976 || registers[2] == 0) continue;
    line = append(line, " virtio_mmio.device=512@0x");
    line = append_number(line, address, 16);
    line = append(line, ":");
    line = append_number(line, 24 + place, 10);
  }
}

static char line[65536];
static uint8_t rsdp[36];

_Noreturn void monitor(const struct start_info *info) {
  /* All of this may be where the layout will be. */
  if (info->magic != 0x336ec578 || info->modules != 1) fail("no image: give it by -initrd");
  struct module module = *(struct module *)AT(info->modlist);
  append(line, AT(info->cmdline));
  memcpy(rsdp, AT(info->rsdp), sizeof rsdp);
  uint64_t end = 0, old_rsdp = info->rsdp;
  for (uint32_t i = 0; i < info->entries; i++) {
    struct region region = ((struct region *)AT(info->memmap))[i];
    if (region.type == 1 && region.start <= 0x100000 && region.start + region.size > end)
      end = region.start + region.size;
  }
  if (end <= 0x100000) fail("no memory");

  char *own;
  int pci = 0, firecracker = 1;
  if ((own = after(line, "firecracker-pci"))) pci = 1;
  else if ((own = after(line, "cloud-hypervisor"))) pci = 1, firecracker = 0;
  else if (!(own = after(line, "firecracker"))) fail("which monitor?");
  if (pci) open_first_mib();
  if (pci && firecracker) move_bars(256ull << 30, 0);
  if (!firecracker) move_bars(1ull << physical_bits(), 1);
  if (!pci) name_devices(own + length(own));
  if (firecracker && length(own) >= 2048) fail("the command line is too long");

  /* The firmware's own RSDP is gone, and what else it left below 640 KiB. */
  memset(AT(old_rsdp), 0, sizeof rsdp);
  memset(AT(0), 0, 0x9fc00);
  uint32_t low_end = firecracker ? 0x9fc00 : 0xa0000, rsdp_at = firecracker ? 0xe0000 : 0xa0000;
  memcpy(AT(rsdp_at), rsdp, sizeof rsdp);
  for (size_t i = 0; i < sizeof rsdp; i++)
    if (((volatile uint8_t *)AT(rsdp_at))[i] != rsdp[i]) fail("no memory for the RSDP");
  if (!firecracker) *(uint16_t *)AT(0x40e) = 0xa0000 >> 4;
  struct region all[] = {
      {0, low_end, 1, 0},
      {low_end, (firecracker ? 0xe0000 : 0x100000) - low_end, 2, 0},
      {firecracker ? 0xeec00000 : 0xe8000000, 256 << 20, 2, 0},
      {0x100000, end - 0x100000, 1, 0},
  };
  memcpy(AT(0x7000), all, sizeof all);
  memcpy(AT(0x20000), own, length(own) + 1);
  *(struct start_info *)AT(0x6000) = (struct start_info){
      .magic = 0x336ec578,
      .version = 1,
      .cmdline = 0x20000,
      .rsdp = firecracker ? 0 : rsdp_at,
      .memmap = 0x7000,
      .entries = sizeof all / sizeof *all,
  };

  const struct elf *elf = AT(module.address);
  const struct header *headers = AT(module.address + elf->headers);
  uint32_t entry = 0;
  for (int i = 0; i < elf->header_count; i++) {
    const struct header *header = &headers[i];
    const uint32_t *contents = AT(module.address + header->offset);
    if (header->type == 1) {
      memcpy(AT(header->physical), contents, header->file_size);
      memset(AT(header->physical + header->file_size), 0, header->size - header->file_size);
    } else if (header->type == 4 && contents[2] == 18) {
      entry = contents[4];
    }
  }
  if (!entry) fail("the image has no PVH entry");
  __asm__ volatile("jmp *%0" : : "a"(entry), "b"(0x6000));
  __builtin_unreachable();
}
