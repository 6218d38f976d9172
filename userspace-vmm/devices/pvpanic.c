// SPDX-License-Identifier: GPL-2.0
/*
 * pvpanic: one port by which a guest kernel reports its panic.
 * Entered from vCPU threads.
 * No locks, no state.
 * QEMU: docs/specs/pvpanic.
 */
#include <stdlib.h>

#include "chardev.h"
#include "machine.h"
#include "devices/board.h"

#define EVENT_PANICKED		(1u << 0)
#define EVENT_CRASH_LOADED	(1u << 1)	/* a crash kernel takes over: not the end */

struct pvpanic {
	struct machine *m;
	struct bus_region region;
};

static void pvpanic_access(void *opaque, uint64_t offset, void *data, unsigned int len, bool write)
{
	struct pvpanic *p = opaque;
	uint8_t *event = data;

	(void)offset;
	(void)len;
	if (!write) {
		*event = EVENT_PANICKED | EVENT_CRASH_LOADED;	/* what it understands */
	} else if (*event & EVENT_PANICKED) {
		chardev_flush(p->m);
		complain("the guest has panicked");
		machine_stop(p->m, EXIT_PANIC);
	}
}

static void pvpanic_cleanup(void *opaque)
{
	struct pvpanic *p = opaque;

	bus_unregister(&p->m->pio, &p->region);
	free(p);
}

void pvpanic_create(struct machine *m)
{
	struct pvpanic *p = calloc(1, sizeof(*p));

	if (!p)
		die("out of memory");
	p->m = m;
	p->region = (struct bus_region){
		.base = PORT_PVPANIC, .len = 1, .handler = pvpanic_access, .opaque = p,
		.name = "pvpanic",
	};
	board_port(m, &p->region);
	machine_at_exit(m, pvpanic_cleanup, p);
}
