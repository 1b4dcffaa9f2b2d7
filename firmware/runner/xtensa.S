/* The runner's platform beside ports/emulator: exit, and DE212's exception vectors. */
    .file   "xtensa.S"

    /* DE212's kernel, user and double exception; runner.ld puts this at VECBASE + 0x300. */
    .section .vectors.de212, "ax"
    j       fault
    .org    0x40
    j       fault
    .org    0xc0
    j       fault

    .align  4
    .literal_position
fault:
    movi    a1, __stack_end
    rsr     a2, exccause
    rsr     a3, epc1
    rsr     a4, excvaddr
    movi    a5, port_fault
    jx      a5

    .section .text.runner_exit, "ax"
    .align  4
    .global runner_exit
runner_exit:
    movi    a2, 1                   /* SIMCALL exit, status 0 */
    movi    a3, 0
    simcall
    j       runner_exit
