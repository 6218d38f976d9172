// SPDX-License-Identifier: GPL-2.0
/*
 * ACPI fixed hardware: power button, sleep control, PM timer. Also the board's small helpers.
 * Entered from vCPU threads, and pm_power_button() from the main thread.
 * pm.lock guards the registers.
 * ACPI Specification: "ACPI Hardware Specification", "Fixed Hardware Registers".
 */
#include <stdlib.h>
#include <string.h>

#include "machine.h"
#include "devices/board.h"

#define PM_PORTS	12
#define REG_STS		0
#define REG_EN		2
#define REG_CNT		4
#define REG_TIMER	8

#define STS_PWRBTN	(1u << 8)
#define EN_STORED	0x0721u		/* timer, global, both buttons, RTC: ACPI reads them back */
#define CNT_SCI_EN	(1u << 0)	/* ACPI mode, the only one there is */
#define CNT_SLP_TYP(v)	(((v) >> 10) & 7)
#define CNT_SLP_EN	(1u << 13)
#define SLP_TYP_S5	5		/* \_S5 in the DSDT */

#define TIMER_HZ	3579545ull

struct pm {
	struct machine *m;
	struct bus_region region;
	pthread_mutex_t lock;
	uint16_t sts, en, cnt;
	bool line;
};

void board_port(struct machine *m, struct bus_region *region)
{
	if (bus_register(&m->pio, region))
		die("%s: its I/O ports are taken", region->name);
}

/* The SCI is level-triggered: up while an enabled event waits. */
static void update_sci(struct pm *pm)
{
	bool line = pm->sts & pm->en;

	if (line == pm->line)
		return;
	pm->line = line;
	irq_line(pm->m, GSI_SCI, line);
}

static uint32_t timer_now(void)
{
	uint64_t ns = loop_now_ns();

	return ns / 1000000000 * TIMER_HZ + ns % 1000000000 * TIMER_HZ / 1000000000;
}

static void write_control(struct pm *pm, uint16_t val)
{
	pm->cnt = val & ~CNT_SLP_EN;	/* write-only */
	if (val & CNT_SLP_EN && CNT_SLP_TYP(val) == SLP_TYP_S5)
		machine_stop(pm->m, EXIT_POWEROFF);
}

/* The registers as they lie in the ports; an access of any width takes its part. */
static void snapshot(const struct pm *pm, uint8_t *ports)
{
	uint16_t cnt = pm->cnt | CNT_SCI_EN;
	uint32_t timer = timer_now();

	memset(ports, 0, PM_PORTS);
	memcpy(ports + REG_STS, &pm->sts, 2);
	memcpy(ports + REG_EN, &pm->en, 2);
	memcpy(ports + REG_CNT, &cnt, 2);
	memcpy(ports + REG_TIMER, &timer, 4);
}

static void pm_access(void *opaque, uint64_t offset, void *data, unsigned int len, bool write)
{
	uint8_t ports[PM_PORTS];
	struct pm *pm = opaque;
	uint16_t sts, en, cnt;

	pthread_mutex_lock(&pm->lock);
	snapshot(pm, ports);
	if (!write) {
		memcpy(data, ports + offset, len);
		pthread_mutex_unlock(&pm->lock);
		return;
	}
	memset(ports + REG_STS, 0, 2);		/* a status bit is cleared by writing it as 1 */
	memcpy(ports + offset, data, len);
	memcpy(&sts, ports + REG_STS, 2);
	memcpy(&en, ports + REG_EN, 2);
	memcpy(&cnt, ports + REG_CNT, 2);
	pm->sts &= ~sts;
	pm->en = en & EN_STORED;
	if (offset <= REG_CNT + 1 && offset + len > REG_CNT)
		write_control(pm, cnt);
	update_sci(pm);
	pthread_mutex_unlock(&pm->lock);
}

bool pm_power_button(struct machine *m)
{
	struct pm *pm = m->pm;
	bool enabled;

	pthread_mutex_lock(&pm->lock);
	pm->sts |= STS_PWRBTN;
	enabled = pm->en & STS_PWRBTN;
	update_sci(pm);
	pthread_mutex_unlock(&pm->lock);
	return enabled;
}

static void pm_cleanup(void *opaque)
{
	struct pm *pm = opaque;

	bus_unregister(&pm->m->pio, &pm->region);
	pthread_mutex_destroy(&pm->lock);
	free(pm);
}

void pm_create(struct machine *m)
{
	struct pm *pm = calloc(1, sizeof(*pm));

	if (!pm)
		die("out of memory");
	pm->m = m;
	m->pm = pm;
	pthread_mutex_init(&pm->lock, NULL);
	pm->region = (struct bus_region){
		.base = PORT_PM, .len = PM_PORTS, .handler = pm_access, .opaque = pm, .name = "pm",
	};
	board_port(m, &pm->region);
	machine_at_exit(m, pm_cleanup, pm);
}
