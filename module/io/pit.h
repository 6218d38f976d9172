/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The 8254 interval timer and port 0x61: the model's interface.
 * Entered from pitdev.c, KUnit and native tests; time is an argument.
 * No locks: the caller serialises everything on one timer.
 * Intel 8254 data sheet, "Mode Definitions" and "Read Operations".
 */
#ifndef MHV_PIT_H
#define MHV_PIT_H

#include "model.h"

#define PIT_HZ		1193181
#define PIT_PORT	0x40	/* channels 0 to 2, and the control word */
#define PIT_PORTS	4
#define PIT_SPEAKER	0x61
#define PIT_MODE_NONE	0xff	/* channel->mode: not programmed yet */

/**
 * struct pit - three counters
 * @channel: in the form in which userspace saves them; @count is binary even
 *	in BCD mode, @count_load_time is when it was loaded, in ns of the
 *	caller's clock
 * @flags: KVM_PIT_FLAGS_*
 */
struct pit {
	struct kvm_pit_channel_state channel[3];
	u32 flags;
};

/**
 * struct pit_alarm - when channel 0 interrupts
 * @ns: from its load to the first edge of OUT; 0: never
 * @periodic: and so on
 */
struct pit_alarm {
	u64 ns;
	bool periodic;
};

void pit_init(struct pit *pit, u64 now);
bool pit_write(struct pit *pit, u16 port, u8 val, u64 now);
u8 pit_read(struct pit *pit, u16 port, u64 now);
struct pit_alarm pit_alarm(const struct pit *pit);
void pit_set_state(struct pit *pit, const struct kvm_pit_state2 *state, u64 now);
void pit_get_state(const struct pit *pit, struct kvm_pit_state2 *state);

#endif /* MHV_PIT_H */
