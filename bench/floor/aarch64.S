// The least that QEMU can boot: an Image of Linux's boot protocol that writes one line to the PL011
// of `virt` and turns the machine off by PSCI. Its time to that line is the floor of every boot
// time.
        .text
        .globl  _start
_start: b       1f
        .long   0
        .quad   0                       // offset from a multiple of 2 MiB
        .quad   end - _start            // size
        .quad   0b1010                  // little endian, 4 KiB pages, anywhere
        .quad   0, 0, 0
        .ascii  "ARM\x64"
        .long   0
1:      mov     x0, #0x9000000
        mov     w1, #'x'
        str     w1, [x0]
        mov     w1, #'\n'
        str     w1, [x0]
        ldr     w0, =0x84000008         // PSCI SYSTEM_OFF
        hvc     #0
        b       .
        .ltorg
end:
