//! `getcontext`, `setcontext`, `makecontext` and `swapcontext`, which musl lacks.
//!
//! The layout is that of glibc's `ucontext_t` for x86-64 (`sys/ucontext.h`), which the objects that
//! call these functions were compiled with: `uc_link` at 8, `uc_stack` at 16, the registers from 40
//! on (r8 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip), the pointer `fpregs` at 224, the
//! signal mask at 296, room for the x87 environment and MXCSR at 424.

core::arch::global_asm!(
    r#"
    .macro save_context
    mov [rdi + 72], r12
    mov [rdi + 80], r13
    mov [rdi + 88], r14
    mov [rdi + 96], r15
    mov [rdi + 120], rbp
    mov [rdi + 128], rbx
    // As after the return.
    lea rax, [rsp + 8]
    mov [rdi + 160], rax
    mov rax, [rsp]
    mov [rdi + 168], rax
    lea rax, [rdi + 424]
    mov [rdi + 224], rax
    fnstenv [rax]
    fldenv [rax]
    stmxcsr [rax + 24]
    .endm

    .pushsection .text.compat.getcontext, "ax", @progbits
    .globl getcontext
    .type getcontext, @function
getcontext:
    save_context
    // pthread_sigmask(SIG_BLOCK, NULL, mask)
    lea rdx, [rdi + 296]
    xor esi, esi
    xor edi, edi
    jmp pthread_sigmask
    .popsection

    .pushsection .text.compat.swapcontext, "ax", @progbits
    .globl swapcontext
    .type swapcontext, @function
swapcontext:
    save_context
    mov rbx, rsi
    // pthread_sigmask(SIG_SETMASK, the other's mask, mask)
    lea rdx, [rdi + 296]
    add rsi, 296
    mov edi, 2
    sub rsp, 8
    call pthread_sigmask
    mov rdi, rbx
    jmp soil_resume_context
    .popsection

    .pushsection .text.compat.setcontext, "ax", @progbits
    .globl setcontext
    .type setcontext, @function
setcontext:
    push rdi
    // pthread_sigmask(SIG_SETMASK, mask, NULL)
    lea rsi, [rdi + 296]
    xor edx, edx
    mov edi, 2
    call pthread_sigmask
    pop rdi
soil_resume_context:
    mov rax, [rdi + 224]
    fldenv [rax]
    ldmxcsr [rax + 24]
    mov r12, [rdi + 72]
    mov r13, [rdi + 80]
    mov r14, [rdi + 88]
    mov r15, [rdi + 96]
    mov rbp, [rdi + 120]
    mov rbx, [rdi + 128]
    mov rsp, [rdi + 160]
    push qword ptr [rdi + 168]
    // Arguments, which makecontext has put there.
    mov r8, [rdi + 40]
    mov r9, [rdi + 48]
    mov rsi, [rdi + 112]
    mov rdx, [rdi + 136]
    mov rcx, [rdi + 152]
    mov rdi, [rdi + 104]
    xor eax, eax
    ret
    .popsection

    .pushsection .text.compat.makecontext, "ax", @progbits
    .globl makecontext
    .type makecontext, @function
makecontext:
    // From rdi (the context), rsi (the function), edx (the number of arguments), rcx, r8, r9 and
    // the stack from rsp + 8 on (the arguments).
    mov [rdi + 104], rcx
    mov [rdi + 112], r8
    mov [rdi + 136], r9
    mov [rdi + 168], rsi
    mov rax, [rdi + 8]
    mov [rdi + 128], rax
    mov rax, [rsp + 8]
    mov [rdi + 152], rax
    mov rax, [rsp + 16]
    mov [rdi + 40], rax
    mov rax, [rsp + 24]
    mov [rdi + 48], rax
    // Those beyond six go to the new stack, above its return address, which is aligned to 8 modulo
    // 16.
    xor eax, eax
    movsxd rdx, edx
    sub rdx, 6
    cmovs rdx, rax
    mov rax, [rdi + 16]
    add rax, [rdi + 32]
    lea rcx, [rdx * 8]
    sub rax, rcx
    and rax, -16
    sub rax, 8
    lea rcx, [rip + soil_context_ended]
    mov [rax], rcx
    mov [rdi + 160], rax
2:  test rdx, rdx
    jz 3f
    mov rcx, [rsp + 24 + rdx * 8]
    mov [rax + rdx * 8], rcx
    dec rdx
    jmp 2b
3:  ret
soil_context_ended:
    // The function has returned. Its stack pointer is aligned; rbx is uc_link.
    mov rdi, rbx
    test rdi, rdi
    jz 4f
    call setcontext
4:  xor edi, edi
    call exit
    ud2
    .popsection
    "#
);
