//! The functions on arm64.

core::arch::global_asm!(
    r#"
    .pushsection .text.soil_memory, "ax", @progbits
    .globl memcpy, memmove, memset, memcmp, bcmp
memmove:
    sub x3, x0, x1
    cmp x3, x2
    b.hs memcpy
    add x3, x0, x2                      // backwards, where the end would be overwritten first
    add x1, x1, x2
2:  cmp x3, x0
    b.eq 3f
    ldrb w4, [x1, #-1]!
    strb w4, [x3, #-1]!
    b 2b
3:  ret
memcpy:
    mov x3, x0
    subs x2, x2, #16
    b.lo 3f
2:  ldp x4, x5, [x1], #16
    stp x4, x5, [x3], #16
    subs x2, x2, #16
    b.hs 2b
3:  adds x2, x2, #16
    b.eq 5f
4:  ldrb w4, [x1], #1
    strb w4, [x3], #1
    subs x2, x2, #1
    b.ne 4b
5:  ret
memset:
    mov x3, x0
    and x1, x1, #0xff
    mov x4, #0x0101010101010101
    mul x4, x1, x4
    subs x2, x2, #16
    b.lo 3f
2:  stp x4, x4, [x3], #16
    subs x2, x2, #16
    b.hs 2b
3:  adds x2, x2, #16
    b.eq 5f
4:  strb w4, [x3], #1
    subs x2, x2, #1
    b.ne 4b
5:  ret
memcmp:
bcmp:
    cbz x2, 3f
2:  ldrb w3, [x0], #1
    ldrb w4, [x1], #1
    subs w3, w3, w4
    b.ne 4f
    subs x2, x2, #1
    b.ne 2b
3:  mov w3, #0
4:  mov w0, w3
    ret
    .popsection
"#
);
