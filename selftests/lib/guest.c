// SPDX-License-Identifier: GPL-2.0
/*
 * guest.c - the guest's side of the library: what an interrupt or exception does.
 * Entered from guest_entry.S, in the guest.
 * No locks; guest_fault and guest_resume are for one vCPU at a time.
 * AMD APM vol. 2, "Exceptions and Interrupts".
 */
#include "guest.h"

isr_fn isr_table[256];
volatile struct guest_fault guest_fault;
volatile u64 guest_resume;
volatile u32 guest_turns_exit;
void (*volatile ap_main)(u32 apic_id);

void isr_dispatch(struct isr_frame *frame);
extern const u8 sti_hlt_sleeps[];

void isr_dispatch(struct isr_frame *frame)
{
	u64 cr2;

	if (isr_table[frame->vector]) {
		isr_table[frame->vector](frame);
		/*
		 * QEMU's SVM forgets the shadow of STI if the host is interrupted in it. Who
		 * sleeps after the interrupt that was to wake it would do so for ever.
		 */
		if (frame->vector >= 32 && frame->rip == (u64)sti_hlt_sleeps)
			frame->rip++;
		return;
	}
	if (!guest_resume || frame->vector >= 32) {
		ucall(UCALL_EXCEPTION, frame->vector, frame->error, frame->rip);
		return;
	}
	asm volatile("mov %%cr2, %0" : "=r" (cr2));
	guest_fault.vector = frame->vector;
	guest_fault.error = frame->error;
	guest_fault.cr2 = cr2;
	guest_fault.rip = frame->rip;
	frame->rip = guest_resume;
	guest_resume = 0;
}
