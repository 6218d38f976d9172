// SPDX-License-Identifier: GPL-2.0
/*
 * A board with a disk, whose registers a guest accesses in any order, at any width, with anything:
 * the fixed devices' ports, PCI configuration space, a virtio device's BARs and rings.
 * Entered from libFuzzer. Eight bytes of input are one access; the machine lives on between inputs,
 * and its devices' threads run meanwhile, as they do under a guest.
 * No locks.
 */
#include <fcntl.h>
#include <stdio.h>

#include "tests/guest.h"

#include "devices/board.h"
#include "devices/virtio.h"
#include "options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t notify;			/* in BAR 0: queue 0's doorbell */

static void create(void)
{
	char path[] = "/tmp/fuzz-board.XXXXXX";
	struct disk_option opt = { .path = path };
	int fd = mkstemp(path);

	if (fd < 0 || ftruncate(fd, 1 << 20) || machine_begin())
		abort();
	rtc_create(&m);
	i8042_create(&m);
	pm_create(&m);
	virtio_blk_create(&m, &opt);
	machine_find_device();
	unlink(path);
	cfg_wr(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	notify = structure(VIRTIO_PCI_CAP_NOTIFY_CFG) - regs;
}

/*
 * As a driver begins that finds the device in any state: BARs where they were, decoding on, reset.
 * What negotiate() asserts then has to hold, whatever came before.
 */
static void begin_anew(void)
{
	cfg_wr(PCI_COMMAND, 2, 0);
	cfg_wr(PCI_BASE_ADDRESS_0, 4, regs);
	cfg_wr(PCI_BASE_ADDRESS_1, 4, msix);
	cfg_wr(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	negotiate(0, DESC(0));
}

/* Ports of reset and power off are left alone: they end the process, as they should. */
static bool ends_the_vm(uint64_t port)
{
	return (port >= PORT_KBD_CMD - 3 && port <= PORT_KBD_CMD) ||
	       (port >= 0xcf6 && port <= 0xcf9) || (port >= PORT_PM && port < PORT_PM + 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!m.loop)
		create();
	for (; size >= 8; data += 8, size -= 8) {
		unsigned int len = 1 << (data[0] >> 3 & 3);
		uint16_t off = data[1] | data[2] << 8;
		uint32_t val;

		memcpy(&val, data + 4, 4);
		switch (data[0] & 7) {
		case 0:
		case 1:
			if (len <= 4 && !ends_the_vm(off))
				access_bus(&m.pio, off, len, val, data[0] & 1);
			break;
		case 2:
			access_bus(&m.mmio, PCI_ECAM_BASE + off, len, val, data[0] & 0x80);
			break;
		case 3:
			access_bus(&m.mmio, regs + off % 0x4000, len, val, data[0] & 0x80);
			break;
		case 4:
			access_bus(&m.mmio, msix + off % 0x1000, len, val, data[0] & 0x80);
			break;
		case 5:		/* the driver's memory: rings, tables, buffers */
			memcpy(ram + 4 * off, &val, 4);
			break;
		case 6:
			wr(regs + notify, 2, 0);
			break;
		case 7:
			if (data[3] == 1)
				begin_anew();
			break;
		}
	}
	return 0;
}
