/* SPDX-License-Identifier: Apache-2.0 */
/* Reset and exception vectors. QEMU's `sim` machine starts at 0x50000000, whatever the ELF entry says; the ESP32's ROM
 * jumps to the entry. */
    .file   "start.S"               /* in the symbol table, instead of a temporary file's name */
    .section .vectors, "ax"
    .global _start
_start:
    j       reset

    /* Kernel, user and double exception at the lx106's offsets from VECBASE; de212's and LX6's are at the end. */
    .org    0x30
    j       fault
    .org    0x50
    j       fault
    .org    0x70
    j       fault

    .align  4
    .literal_position
reset:
    movi    a2, 0x2f                /* PS: INTLEVEL 15, UM, EXCM clear (loops would run once otherwise) */
    wsr     a2, ps
    rsync
    movi    a2, _start
    wsr     a2, vecbase

    movi    a2, __bss_start         /* zero-initialised variables */
    movi    a3, __bss_end
    movi    a4, 0
    call0   fill
    movi    a2, __stack_start       /* paint the stack: what keeps its paint was never used */
    movi    a3, __stack_end
    movi    a4, 0xa5a5a5a5
    call0   fill

    movi    a2, __data_start        /* initial values of the other variables */
    movi    a3, __data_end
    movi    a4, __data_load
1:  bgeu    a2, a3, 2f
    l32i    a5, a4, 0
    s32i    a5, a2, 0
    addi    a2, a2, 4
    addi    a4, a4, 4
    j       1b

2:  movi    a1, __stack_end
    movi    a2, port_start
    jx      a2

    /* Write a4 to the words from a2 to before a3. */
    .align  4
fill:
    bgeu    a2, a3, 1f
    s32i    a4, a2, 0
    addi    a2, a2, 4
    j       fill
1:  ret

    /* A fault ends the program: say where and why, on a stack of its own making. */
fault:
    movi    a1, __stack_end
    rsr     a2, exccause
    rsr     a3, epc1
    rsr     a4, excvaddr
    movi    a5, port_fault
    jx      a5

    .org    0x300
    j       fault
    .org    0x340
    j       fault
    .org    0x3c0
    j       fault
