// SPDX-License-Identifier: GPL-2.0
/*
 * Keyboard controller without a keyboard: what firmware tests, and the processor's reset line.
 * Entered from vCPU threads.
 * i8042.lock guards the registers.
 * IBM PC/AT Technical Reference: "Keyboard Controller".
 */
#include <stdlib.h>

#include "machine.h"
#include "devices/board.h"

#define STATUS_OUTPUT_FULL	0x01
#define STATUS_SYSTEM		0x04	/* self-test passed */
#define STATUS_COMMAND		0x08	/* the last write was to the command port */
#define STATUS_UNLOCKED		0x10
#define STATUS_TIMEOUT		0x40	/* the device did not answer */

#define CMD_READ_CONFIG		0x20
#define CMD_WRITE_CONFIG	0x60
#define CMD_TEST_AUX		0xa9
#define CMD_SELF_TEST		0xaa
#define CMD_TEST_KBD		0xab
#define CMD_READ_OUTPUT		0xd0
#define CMD_WRITE_OUTPUT	0xd1
#define CMD_PULSE		0xf0	/* to 0xff: pulses the lines whose bits are 0 */

#define LINE_RESET		0x01	/* active low, bit 0 of the output port */
#define OUTPUT_PORT		0x03	/* reset released, A20 on */
#define DEVICE_RESEND		0xfe	/* what the controller makes of a device's silence */

struct i8042 {
	struct machine *m;
	struct bus_region data, command;
	pthread_mutex_t lock;
	uint8_t status, config, out;
	uint8_t expects;		/* the command whose parameter comes next, or 0 */
};

static void answer(struct i8042 *k, uint8_t byte, uint8_t flags)
{
	k->out = byte;
	k->status = (k->status & ~STATUS_TIMEOUT) | STATUS_OUTPUT_FULL | flags;
}

static void command(struct i8042 *k, uint8_t cmd)
{
	k->status |= STATUS_COMMAND;
	k->expects = 0;
	switch (cmd) {
	case CMD_READ_CONFIG:
		answer(k, k->config, 0);
		break;
	case CMD_WRITE_CONFIG:
	case CMD_WRITE_OUTPUT:
		k->expects = cmd;
		break;
	case CMD_SELF_TEST:
		answer(k, 0x55, STATUS_SYSTEM);
		break;
	case CMD_TEST_KBD:
	case CMD_TEST_AUX:
		answer(k, 0x00, 0);	/* the interface's wires are sound */
		break;
	case CMD_READ_OUTPUT:
		answer(k, OUTPUT_PORT, 0);
		break;
	default:
		if (cmd >= CMD_PULSE && !(cmd & LINE_RESET))
			machine_reset_request(k->m);
	}
}

static void parameter(struct i8042 *k, uint8_t val)
{
	k->status &= ~STATUS_COMMAND;
	switch (k->expects) {
	case CMD_WRITE_CONFIG:
		k->config = val;
		break;
	case CMD_WRITE_OUTPUT:
		if (!(val & LINE_RESET))
			machine_reset_request(k->m);
		break;
	default:
		answer(k, DEVICE_RESEND, STATUS_TIMEOUT);
	}
	k->expects = 0;
}

static void data_access(void *opaque, uint64_t offset, void *data, unsigned int len, bool write)
{
	struct i8042 *k = opaque;
	uint8_t *byte = data;

	(void)offset;
	(void)len;
	pthread_mutex_lock(&k->lock);
	if (write) {
		parameter(k, *byte);
	} else {
		*byte = k->out;
		k->status &= ~(STATUS_OUTPUT_FULL | STATUS_TIMEOUT);
	}
	pthread_mutex_unlock(&k->lock);
}

static void command_access(void *opaque, uint64_t offset, void *data, unsigned int len, bool write)
{
	struct i8042 *k = opaque;
	uint8_t *byte = data;

	(void)offset;
	(void)len;
	pthread_mutex_lock(&k->lock);
	if (write)
		command(k, *byte);
	else
		*byte = k->status;
	pthread_mutex_unlock(&k->lock);
}

static void i8042_cleanup(void *opaque)
{
	struct i8042 *k = opaque;

	bus_unregister(&k->m->pio, &k->data);
	bus_unregister(&k->m->pio, &k->command);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

void i8042_create(struct machine *m)
{
	struct i8042 *k = calloc(1, sizeof(*k));

	if (!k)
		die("out of memory");
	k->m = m;
	k->status = STATUS_SYSTEM | STATUS_UNLOCKED;
	pthread_mutex_init(&k->lock, NULL);
	k->data = (struct bus_region){
		.base = PORT_KBD_DATA, .len = 1, .handler = data_access, .opaque = k,
		.name = "i8042",
	};
	k->command = (struct bus_region){
		.base = PORT_KBD_CMD, .len = 1, .handler = command_access, .opaque = k,
		.name = "i8042",
	};
	board_port(m, &k->data);
	board_port(m, &k->command);
	machine_at_exit(m, i8042_cleanup, k);
}
