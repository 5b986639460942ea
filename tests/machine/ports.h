/*
 * What the test machine offers to the programs in it, beside a PC's devices: three ports that no PC has. They never
 * cause a VM exit under pmuvisor.
 */
#ifndef MACHINE_PORTS_H
#define MACHINE_PORTS_H

/* OUT imm8/DX, AL: power off; the emulator's exit status is AL. 0 is success; guests use 1..99 for failure. */
#define MACHINE_PORT_EXIT 0xf4
/* OUT DX, AL/EAX: append all machine counters to the statistics file, headed `mark EAX`. */
#define MACHINE_PORT_MARK 0xf5
/* OUT DX, AL: one character to the machine's debug console file. */
#define MACHINE_PORT_CONSOLE 0xe9

/* Exit statuses the machine itself gives. */
#define MACHINE_EXIT_DEADLINE 124 /* the deadline in emulated instructions passed */
#define MACHINE_EXIT_SHUTDOWN 125 /* a triple fault: the processor shut down */
#define MACHINE_EXIT_BROKEN   126 /* the emulator itself panicked, or its set-up is wrong */

#endif
