//! A bare responder: sends every Ethernet frame back to where it came from, with Soil's driver and
//! nothing else. No interrupts, no stack, no operating system: how many frames it answers per
//! second is the ceiling of every network figure on this machine. Network cards on virtio-mmio only
//! (`-M microvm`).

#![no_std]
#![no_main]

extern crate alloc;

mod memory;

use alloc::boxed::Box;
use core::arch::{asm, global_asm};
use drivers::net::{Card, Net, NetConfig, TxMeta};
use drivers::transport::mmio::MmioTransport;
use drivers::device_type::DeviceType;
use drivers::transport::Transport;
use memory::MEMORY;

// PVH hands over in 32-bit protected mode without paging. Identity-map 4 GiB with 2 MiB pages,
// allow SSE, go to 64-bit mode.
global_asm!(
    r#"
    .section .note.xen, "a"
    .long 4, 4, 18
    .asciz "Xen"
    .long start
    .section .boot, "ax"
    .code32
    .globl start
start:
    movl $0x07, %eax                    /* page tables: 4 directories of 512 entries */
    movl $directories, %edi
    orl  $0x80, %eax
    movl $2048, %ecx
1:  movl %eax, (%edi)
    movl $0, 4(%edi)
    addl $0x200000, %eax
    addl $8, %edi
    loop 1b
    movl $directories + 7, %eax
    movl %eax, pointers
    addl $4096, %eax
    movl %eax, pointers + 8
    addl $4096, %eax
    movl %eax, pointers + 16
    addl $4096, %eax
    movl %eax, pointers + 24
    movl $pointers + 7, %eax
    movl %eax, top
    movl $top, %eax
    movl %eax, %cr3
    movl $0x620, %eax                   /* CR4: PAE, OSFXSR, OSXMMEXCPT */
    movl %eax, %cr4
    movl $0xc0000080, %ecx
    rdmsr
    orl  $0x100, %eax                   /* EFER: LME */
    wrmsr
    movl $0x80000013, %eax              /* CR0: PG, ET, MP, PE */
    movl %eax, %cr0
    lgdt descriptor
    ljmp $8, $long_mode
    .code64
long_mode:
    xorl %eax, %eax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movabsq $stack_end, %rsp
    call main
2:  hlt
    jmp  2b
    .balign 8
segments:
    .quad 0, 0x00209a0000000000
descriptor:
    .word 15
    .long segments
    .section .bss.boot, "aw", @nobits
    .balign 4096
top:         .skip 4096
pointers:    .skip 4096
directories: .skip 4 * 4096
stack:       .skip 65536
stack_end:
    "#,
    options(att_syntax)
);

/// QEMU's microvm has its virtio-mmio slots here, 24 of 512 bytes.
const SLOTS: u64 = 0xfeb0_0000;
const SLOT: u64 = 0x200;

fn print(text: &str) {
    for byte in text.bytes() {
        // SAFETY: the first serial port's data register; writing has no effect on memory.
        unsafe { asm!("out dx, al", in("dx") 0x3f8_u16, in("al") byte) }
    }
}

fn card() -> Option<Net> {
    (0..24).find_map(|slot| {
        // SAFETY: this is the only driver in the machine.
        let found = unsafe { MmioTransport::probe(&MEMORY, SLOTS + slot * SLOT, SLOT as usize) };
        let transport = found.ok()??;
        if transport.device_type() != DeviceType::NET {
            return None;
        }
        Net::new(Box::new(transport), &MEMORY, &NetConfig::default()).ok()
    })
}

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let Some(mut card) = card() else {
        print("no network card\n");
        halt()
    };
    card.disable_interrupts();
    print("ready\n");
    let mut copy = [0; 2048];
    loop {
        let mut len = 0;
        let received = card.receive(&mut |frame, _| {
            if let (14.., Some(room)) = (frame.len(), copy.get_mut(..frame.len())) {
                room.copy_from_slice(frame);
                room.copy_within(6..12, 0);
                len = frame.len();
            }
        });
        if !received {
            card.flush();
            // Gives free buffers back to the card; its answer doesn't matter to one that polls.
            let _ = card.enable_interrupts();
            card.disable_interrupts();
            core::hint::spin_loop();
        } else if let Some(frame) = copy.get(..len).filter(|frame| !frame.is_empty()) {
            // A full ring drops the frame, as a wire would.
            let _ = card.transmit(len, &mut |room| {
                room.copy_from_slice(frame);
                TxMeta::default()
            });
        }
    }
}

fn halt() -> ! {
    loop {
        // SAFETY: stops the CPU until the next interrupt; none is enabled.
        unsafe { asm!("cli", "hlt") }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    print("panic\n");
    halt()
}
