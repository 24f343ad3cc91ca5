# The least that QEMU can boot: a PVH image that writes one line to the first serial port and
# leaves through isa-debug-exit. Its time to that line is the floor of every boot time.
        .code32
        .section .note, "a", @note
        .long   4, 4, 18                # name size, descriptor size, XEN_ELFNOTE_PHYS32_ENTRY
        .asciz  "Xen"
        .long   start

        .text
        .globl  start
start:  movw    $0x3f8, %dx
        movb    $'x', %al
        outb    %al, %dx
        movb    $'\n', %al
        outb    %al, %dx
        movw    $0xf4, %dx
        xorl    %eax, %eax
        outl    %eax, %dx
        hlt
