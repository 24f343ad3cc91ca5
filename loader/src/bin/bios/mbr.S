// The first sector: reads stage 2 and jumps to it. At 428: the first sector of stage 2 (64 bits),
// and its length in sectors (16 bits, at most 512). The maker of the disk writes them.
    .intel_syntax noprefix
    .code16
    .globl start
start:
    cli
    cld
    xor ax, ax
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov sp, 0x7c00
    sti
    ljmp 0, 1f
1:  mov si, offset packet
    mov cx, [length]
    mov eax, [sector]
    mov [packet + 8], eax
    mov eax, [sector + 4]
    mov [packet + 12], eax
2:  mov ax, cx
    test ax, ax
    jz 4f
    cmp ax, 32
    jbe 3f
    mov ax, 32
3:  mov [packet + 2], ax
    push ax
    push cx
    push dx
    mov ah, 0x42
    int 0x13
    pop dx
    pop cx
    pop bx
    jc 5f
    sub cx, bx
    movzx ebx, bx
    add [packet + 8], ebx
    adc dword ptr [packet + 12], 0
    shl bx, 5                           // sectors to paragraphs
    add [packet + 6], bx
    jmp 2b
4:  ljmp 0, 0x8000
5:  mov si, offset message
6:  lodsb
    test al, al
    jz 7f
    mov ah, 0x0e
    mov bx, 7
    int 0x10
    jmp 6b
7:  hlt
    jmp 7b
message:
    .asciz "soil: the disk can't be read by the BIOS\r\n"
    .balign 4
packet:
    .byte 16, 0
    .short 0, 0, 0x800
    .quad 0
    .org 428
sector:
    .quad 0
length:
    .short 0
    .org 440
