// SPDX-License-Identifier: GPL-2.0
/*
 * The PCI host and a virtio disk, driven as a guest's driver would: configuration cycles, BAR
 * accesses and rings in RAM, through the buses, with the device's thread running.
 * Runs natively: see guest.h.
 * PCI Local Bus Specification 3.0: Configuration Space; VIRTIO 1.1: Virtio Over PCI Bus.
 */
#include "tests/guest.h"

#include <linux/virtio_blk.h>
#include <stdio.h>

#define DISK_SECTORS	2048ull
#define NO_EVENT_IDX	(1ull << VIRTIO_RING_F_EVENT_IDX)	/* an interrupt for each request */

/* Guest physical addresses of the driver's things */
#define HEADER		0x4000ull
#define STATUS		0x5000ull
#define TABLE		0x80000ull
#define DATA		0x100000ull

static char disk_path[32];

/* Queue one request in descriptors 0 to 2; no kick. */
static void submit(uint32_t type, uint64_t sector, uint32_t len, bool in)
{
	struct virtio_blk_outhdr hdr = { .type = type, .sector = sector };
	struct vring_desc *d = desc(0);

	memcpy(ram + HEADER, &hdr, sizeof(hdr));
	ram[STATUS] = 0xff;
	d[0] = (struct vring_desc) { HEADER, sizeof(hdr), VRING_DESC_F_NEXT, 1 };
	d[1] = (struct vring_desc) { DATA, len, VRING_DESC_F_NEXT | (in ? VRING_DESC_F_WRITE : 0),
				     2 };
	d[2] = (struct vring_desc) { STATUS, 1, VRING_DESC_F_WRITE, 0 };
	offer(0, 0);
}

static uint8_t request(uint32_t type, uint64_t sector, uint32_t len, bool in)
{
	submit(type, sector, len, in);
	kick(0);
	assert_true(interrupt_comes(DATA_QUEUE(0), WAIT_MS));
	return ram[STATUS];
}

/* ---- A machine for each test ---- */

static int power_on(bool readonly)
{
	struct disk_option opt = { .path = disk_path, .readonly = readonly };

	if (truncate(disk_path, DISK_SECTORS * 512) || machine_begin())
		return -1;
	virtio_blk_create(&m, &opt);
	machine_find_device();
	return 0;
}

static int power_on_writable(void **state)
{
	(void)state;
	return power_on(false);
}

static int power_on_readonly(void **state)
{
	(void)state;
	return power_on(true);
}

/* ---- PCI ---- */

static void test_identity(void **state)
{
	(void)state;
	assert_int_equal(rd(cfg_addr(0, 0), 4), 0x00081b36);
	assert_int_equal(rd(cfg_addr(0, PCI_CLASS_DEVICE), 2), 0x0600);
	assert_int_equal(cfg_rd(0, 4), 0x10421af4);
	assert_int_equal(cfg_rd(3, 1), 0x10);
	assert_int_equal(cfg_rd(PCI_CLASS_REVISION, 4), 0x01000001);
	for (unsigned int off = 0; off < PCI_STD_HEADER_SIZEOF; off += 4)
		assert_int_equal(port_rd(SLOT, off, 4), cfg_rd(off, 4));
	assert_int_equal(port_rd(SLOT, 2, 2), 0x1042);
	assert_int_equal(port_rd(SLOT, 3, 1), 0x10);
	/* What is not there */
	assert_int_equal(rd(cfg_addr(SLOT + 1, 0), 4), 0xffffffff);
	assert_int_equal(rd(cfg_addr(SLOT, 0) + 0x1000, 4), 0xffffffff);	/* function 1 */
	assert_int_equal(rd(cfg_addr(SLOT, 0) + 0x100000, 4), 0xffffffff);	/* bus 1 */
	assert_int_equal(cfg_rd(256, 4), 0xffffffff);
	access_bus(&m.pio, 0xcf8, 4, SLOT << 11, true);		/* without the enable bit */
	assert_int_equal(access_bus(&m.pio, 0xcfc, 4, 0, false), 0xffffffff);
	/* The identity is read-only */
	cfg_wr(PCI_VENDOR_ID, 4, 0x12345678);
	cfg_wr(PCI_SUBSYSTEM_VENDOR_ID, 4, 0x12345678);
	assert_int_equal(cfg_rd(0, 4), 0x10421af4);
	assert_int_equal(cfg_rd(PCI_SUBSYSTEM_VENDOR_ID, 2), 0x1af4);
}

static bool answers(uint64_t bar0)
{
	return rd(bar0 + VIRTIO_PCI_COMMON_NUMQ, 2) == 1;
}

static bool has_doorbell(uint64_t addr)
{
	for (unsigned int i = 0; i < DOORBELLS_MAX; i++) {
		if (doorbell[i] == addr)
			return true;
	}
	return false;
}

static void test_bar_sizing(void **state)
{
	(void)state;
	assert_true(answers(regs));
	cfg_wr(PCI_BASE_ADDRESS_0, 4, 0xffffffff);
	assert_int_equal(cfg_rd(PCI_BASE_ADDRESS_0, 4), 0xffffc000);
	assert_false(answers(regs));
	cfg_wr(PCI_BASE_ADDRESS_0, 4, regs);
	assert_true(answers(regs));
	cfg_wr(PCI_BASE_ADDRESS_2, 4, 0xffffffff);
	assert_int_equal(cfg_rd(PCI_BASE_ADDRESS_2, 4), 0);
}

static void test_bar_moves(void **state)
{
	uint64_t notify = structure(VIRTIO_PCI_CAP_NOTIFY_CFG) - regs;
	uint64_t there = PCI_MMIO_BASE + 0x1000000;

	(void)state;
	assert_true(has_doorbell(regs + notify));
	cfg_wr(PCI_BASE_ADDRESS_0, 4, there);
	assert_false(answers(regs));
	assert_true(answers(there));
	assert_false(has_doorbell(regs + notify));
	assert_true(has_doorbell(there + notify));
	/* Byte by byte it passes over other places, and answers only where it is. */
	cfg_wr(PCI_BASE_ADDRESS_0 + 3, 1, regs >> 24 & 0xff);
	cfg_wr(PCI_BASE_ADDRESS_0 + 2, 1, regs >> 16 & 0xff);
	assert_true(answers(regs));
	cfg_wr(PCI_COMMAND, 2, 0);
	assert_false(answers(regs));
	assert_false(has_doorbell(regs + notify));
	cfg_wr(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_true(answers(regs));
	/* Not over RAM, nor over what lies behind the window. */
	cfg_wr(PCI_BASE_ADDRESS_0, 4, 0x100000);
	assert_false(answers(0x100000));
	assert_false(has_doorbell(0x100000 + notify));
	cfg_wr(PCI_BASE_ADDRESS_0, 4, LAPIC_BASE);
	assert_false(has_doorbell(LAPIC_BASE + notify));
}

static void test_bars_overlap(void **state)
{
	(void)state;
	/* BAR 1 over BAR 0: the first one keeps the place, the other waits for it. */
	cfg_wr(PCI_BASE_ADDRESS_1, 4, regs);
	assert_true(answers(regs));
	assert_int_equal(rd(msix + 12, 4), 0xffffffff);
	cfg_wr(PCI_BASE_ADDRESS_0, 4, regs + 0x10000);
	assert_true(answers(regs + 0x10000));
	assert_int_equal(rd(regs + 12, 4), 1);		/* the table: vector 0 is masked */
}

/* ---- virtio-pci ---- */

static void test_negotiation(void **state)
{
	uint64_t features = offered();

	(void)state;
	assert_true(features >> VIRTIO_F_VERSION_1 & 1);
	set_status(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	set_features(features & ~(1ull << VIRTIO_F_VERSION_1));
	set_status(status() | VIRTIO_CONFIG_S_FEATURES_OK);
	assert_false(status() & VIRTIO_CONFIG_S_FEATURES_OK);
	set_features(features | 1ull << 40);
	set_status(status() | VIRTIO_CONFIG_S_FEATURES_OK);
	assert_false(status() & VIRTIO_CONFIG_S_FEATURES_OK);
	set_status(status() | VIRTIO_CONFIG_S_DRIVER_OK);
	assert_false(status() & VIRTIO_CONFIG_S_DRIVER_OK);
	set_features(features);
	set_status(status() | VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(status(), VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
			 VIRTIO_CONFIG_S_FEATURES_OK);
	set_features(0);		/* too late */
	wr(common(VIRTIO_PCI_COMMON_GFSELECT), 4, 1);
	assert_int_equal(rd(common(VIRTIO_PCI_COMMON_GF), 4), features >> 32);
	set_status(0);
	assert_int_equal(status(), 0);
	wr(common(VIRTIO_PCI_COMMON_GFSELECT), 4, 1);
	assert_int_equal(rd(common(VIRTIO_PCI_COMMON_GF), 4), 0);
}

static void test_queue_registers(void **state)
{
	(void)state;
	wr(common(VIRTIO_PCI_COMMON_Q_SIZE), 2, 100);		/* not a power of two */
	wr(common(VIRTIO_PCI_COMMON_Q_SIZE), 2, 512);		/* too many */
	wr(common(VIRTIO_PCI_COMMON_Q_SIZE), 2, 0);
	assert_int_equal(rd(common(VIRTIO_PCI_COMMON_Q_SIZE), 2), 256);
	wr(common(VIRTIO_PCI_COMMON_Q_MSIX), 2, 2);		/* there are two: 0 and 1 */
	assert_int_equal(rd(common(VIRTIO_PCI_COMMON_Q_MSIX), 2), 0xffff);
	wr(common(VIRTIO_PCI_COMMON_Q_SELECT), 2, 0xffff);
	assert_int_equal(rd(common(VIRTIO_PCI_COMMON_Q_SIZE), 2), 0);
	wr(common(VIRTIO_PCI_COMMON_Q_ENABLE), 2, 1);
	wr(common(VIRTIO_PCI_COMMON_Q_DESCLO), 4, 1);
	wr(common(VIRTIO_PCI_COMMON_Q_MSIX), 2, 1);
	wr(regs + 0x3ffc, 4, 0);		/* the doorbell of a queue that is not there */
	/* Every offset and width of the BAR: nothing but an answer is asked. */
	for (unsigned int off = 0; off < 0x4000; off += off < 0x100 ? 1 : 0x83) {
		for (unsigned int len = 1; len <= 8; len *= 2)
			rd(regs + off, len);
	}
	/* Once enabled, a queue stays as it is. */
	start(NO_EVENT_IDX);
	wr(common(VIRTIO_PCI_COMMON_Q_SELECT), 2, 0);
	wr(common(VIRTIO_PCI_COMMON_Q_DESCLO), 4, 0x8000);
	wr(common(VIRTIO_PCI_COMMON_Q_SIZE), 2, 8);
	wr(common(VIRTIO_PCI_COMMON_Q_ENABLE), 2, 0);
	assert_int_equal(rd(common(VIRTIO_PCI_COMMON_Q_DESCLO), 4), DESC(0));
	assert_int_equal(rd(common(VIRTIO_PCI_COMMON_Q_SIZE), 2), 64);
	assert_int_equal(rd(common(VIRTIO_PCI_COMMON_Q_ENABLE), 2), 1);
}

static void test_msix_masks(void **state)
{
	unsigned int ctrl = find_cap(PCI_CAP_ID_MSIX, 0) + PCI_MSIX_FLAGS;
	uint64_t pba = msix + (cfg_rd(ctrl - PCI_MSIX_FLAGS + PCI_MSIX_PBA, 4) & ~7u);

	(void)state;
	assert_int_equal(cfg_rd(ctrl, 2) & PCI_MSIX_FLAGS_QSIZE, 1);
	start(NO_EVENT_IDX);
	/* The vector's own mask */
	wr(msix + 16 + 12, 4, PCI_MSIX_ENTRY_CTRL_MASKBIT);
	submit(VIRTIO_BLK_T_FLUSH, 0, 0, false);
	kick(0);
	assert_false(interrupt_comes(DATA_QUEUE(0), QUIET_MS));
	assert_int_equal(rd(pba, 4), 2);
	wr(msix + 16 + 8, 4, 0x77);	/* moved to another CPU's vector while masked */
	wr(msix + 16 + 12, 4, 0);
	assert_true(interrupt_comes(0x77, WAIT_MS));
	assert_int_equal(rd(pba, 8), 0);
	/* The function's */
	cfg_wr(ctrl, 2, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	submit(VIRTIO_BLK_T_FLUSH, 0, 0, false);
	kick(0);
	assert_false(interrupt_comes(0x77, QUIET_MS));
	assert_int_equal(rd(pba, 8), 2);
	cfg_wr(ctrl, 2, PCI_MSIX_FLAGS_ENABLE);
	assert_true(interrupt_comes(0x77, WAIT_MS));
	/* The table takes dwords and qwords alone, and the PBA nothing. */
	wr(msix + 16 + 8, 2, 0x99);
	wr(pba, 4, 0xff);
	assert_int_equal(rd(msix + 16 + 8, 4), 0x77);
	assert_int_equal(rd(msix + 16 + 8, 8), 0x77);
	assert_int_equal(rd(pba, 4), 0);
}

static void test_intx(void **state)
{
	uint64_t isr = structure(VIRTIO_PCI_CAP_ISR_CFG);

	(void)state;
	start(NO_EVENT_IDX);
	cfg_wr(find_cap(PCI_CAP_ID_MSIX, 0) + PCI_MSIX_FLAGS, 2, 0);
	assert_int_equal(cfg_rd(PCI_INTERRUPT_PIN, 1), 1);
	for (unsigned int round = 0; round < 2; round++) {
		submit(VIRTIO_BLK_T_FLUSH, 0, 0, false);
		kick(0);
		for (unsigned int ms = 0; !line[GSI_PCI_INTX + SLOT] && ms < WAIT_MS; ms++)
			usleep(1000);
		assert_int_equal(used(0)->idx, round + 1);
		assert_true(line[GSI_PCI_INTX + SLOT]);
		assert_true(cfg_rd(PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
		/* Disabled, the line drops, while its cause remains. */
		cfg_wr(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
		       PCI_COMMAND_INTX_DISABLE);
		assert_false(line[GSI_PCI_INTX + SLOT]);
		cfg_wr(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
		assert_true(line[GSI_PCI_INTX + SLOT]);
		assert_int_equal(rd(isr, 1), 1);
		assert_false(line[GSI_PCI_INTX + SLOT]);
		assert_int_equal(rd(isr, 1), 0);
	}
}

static void test_cfg_window(void **state)
{
	unsigned int cap = find_cap(PCI_CAP_ID_VNDR, VIRTIO_PCI_CAP_PCI_CFG);
	unsigned int data = cap + offsetof(struct virtio_pci_cfg_cap, pci_cfg_data);

	(void)state;
	cfg_wr(cap + offsetof(struct virtio_pci_cap, bar), 1, 0);
	cfg_wr(cap + offsetof(struct virtio_pci_cap, offset), 4, VIRTIO_PCI_COMMON_NUMQ);
	cfg_wr(cap + offsetof(struct virtio_pci_cap, length), 4, 2);
	assert_int_equal(cfg_rd(data, 2), 1);
	cfg_wr(cap + offsetof(struct virtio_pci_cap, offset), 4, VIRTIO_PCI_COMMON_STATUS);
	cfg_wr(cap + offsetof(struct virtio_pci_cap, length), 4, 1);
	cfg_wr(data, 1, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	assert_int_equal(status(), VIRTIO_CONFIG_S_ACKNOWLEDGE);
	cfg_wr(data, 1, 0);
	assert_int_equal(status(), 0);
	/* Out of the BAR, of no length, of another BAR: nothing happens. */
	cfg_wr(cap + offsetof(struct virtio_pci_cap, offset), 4, 0xfffffffc);
	cfg_rd(data, 4);
	cfg_wr(data, 4, 1);
	cfg_wr(cap + offsetof(struct virtio_pci_cap, length), 4, 0);
	cfg_rd(data, 4);
	cfg_wr(cap + offsetof(struct virtio_pci_cap, length), 4, 0xffffffff);
	cfg_rd(data, 4);
	cfg_wr(cap + offsetof(struct virtio_pci_cap, bar), 1, 5);
	cfg_rd(data, 4);
}

static void test_needs_reset(void **state)
{
	(void)state;
	start(NO_EVENT_IDX);
	avail(0)->idx = 1000;
	kick(0);
	assert_true(interrupt_comes(DATA_CONFIG, WAIT_MS));
	assert_true(status() & VIRTIO_CONFIG_S_NEEDS_RESET);
	kick(0);
	start(NO_EVENT_IDX);			/* resets, and then all is well */
	assert_int_equal(request(VIRTIO_BLK_T_FLUSH, 0, 0, false), VIRTIO_BLK_S_OK);
	negotiate(NO_EVENT_IDX, RAM_SIZE);		/* rings that are not in RAM */
	assert_true(interrupt_comes(DATA_CONFIG, WAIT_MS));
	assert_true(status() & VIRTIO_CONFIG_S_NEEDS_RESET);
}

static void test_bus_master(void **state)
{
	(void)state;
	start(NO_EVENT_IDX);
	cfg_wr(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	submit(VIRTIO_BLK_T_FLUSH, 0, 0, false);
	kick(0);
	assert_false(interrupt_comes(DATA_QUEUE(0), QUIET_MS));
	assert_int_equal(ram[STATUS], 0xff);
	cfg_wr(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_true(interrupt_comes(DATA_QUEUE(0), WAIT_MS));
	assert_int_equal(ram[STATUS], VIRTIO_BLK_S_OK);
}

/* Once the reset has returned, the device must not write to memory that it was given. */
static void test_reset_under_load(void **state)
{
	(void)state;
	for (unsigned int round = 0; round < 200; round++) {
		start(NO_EVENT_IDX);
		for (unsigned int i = 0; i < 32; i++)
			submit(VIRTIO_BLK_T_IN, 0, 1 << 16, true);
		kick(0);
		if (round % 2)
			usleep(random() % 500);
		set_status(0);
		memset(ram + DATA, 0xa5, 1 << 16);
		memset(ram + USED(0), 0xa5, 0x1000);
		ram[STATUS] = 0xa5;
		kick(0);
		usleep(200);
		for (unsigned int i = 0; i < 1 << 16; i += 512)
			assert_int_equal(ram[DATA + i], 0xa5);
		for (unsigned int i = 0; i < 0x1000; i++)
			assert_int_equal(ram[USED(0) + i], 0xa5);
		assert_int_equal(ram[STATUS], 0xa5);
	}
}

/* A ring of large requests would take its time: none is begun once the run ends. */
static void test_stopping(void **state)
{
	(void)state;
	start(NO_EVENT_IDX);
	m.status = EXIT_POWEROFF;
	submit(VIRTIO_BLK_T_FLUSH, 0, 0, false);
	kick(0);
	assert_false(interrupt_comes(DATA_QUEUE(0), QUIET_MS));
	assert_int_equal(ram[STATUS], 0xff);
}

/* Whatever is written where: the machine goes on, and a reset mends it. */
static void test_random_accesses(void **state)
{
	(void)state;
	start(NO_EVENT_IDX);
	srandom(2);
	for (unsigned int i = 0; i < 50000; i++) {
		const uint64_t place[] = {
			cfg_addr(SLOT, random() % 256), regs + random() % 0x40,
			regs + random() % 0x4000, msix + random() % 64, msix + random() % 0x1000,
			structure(VIRTIO_PCI_CAP_NOTIFY_CFG), common(VIRTIO_PCI_COMMON_STATUS),
		};
		uint64_t addr = place[random() % (sizeof(place) / sizeof(place[0]))];
		uint64_t val = (uint64_t)random() << random() % 33;
		unsigned int len = 1 << (random() & 3);

		if (random() % 4)
			val %= 256;
		/* The BARs stay where they are; that they move is another test. */
		if (addr < cfg_addr(SLOT, 0) || addr - cfg_addr(SLOT, 0) > PCI_BASE_ADDRESS_1 + 3)
			wr(addr, len, val);
		rd(addr, len);
		if (!(i % 64))
			ram[0x1000 + random() % 0x40000] = random();
	}
	while (interrupt_comes(DATA_QUEUE(0), QUIET_MS))
		;
	start(NO_EVENT_IDX);
	assert_int_equal(request(VIRTIO_BLK_T_FLUSH, 0, 0, false), VIRTIO_BLK_S_OK);
}

/* ---- virtio-blk ---- */

static void test_block_io(void **state)
{
	(void)state;
	assert_int_equal(rd(structure(VIRTIO_PCI_CAP_DEVICE_CFG), 4), DISK_SECTORS);
	start(NO_EVENT_IDX);
	memset(ram + DATA, 0x5a, 4096);
	assert_int_equal(request(VIRTIO_BLK_T_OUT, DISK_SECTORS - 8, 4096, false),
			 VIRTIO_BLK_S_OK);
	assert_int_equal(used(0)->ring[0].len, 1);
	memset(ram + DATA, 0, 4096);
	assert_int_equal(request(VIRTIO_BLK_T_IN, DISK_SECTORS - 8, 4096, true), VIRTIO_BLK_S_OK);
	assert_int_equal(used(0)->ring[1].len, 4097);
	for (unsigned int i = 0; i < 4096; i++)
		assert_int_equal(ram[DATA + i], 0x5a);
	assert_int_equal(request(VIRTIO_BLK_T_FLUSH, 0, 0, false), VIRTIO_BLK_S_OK);
	assert_int_equal(request(VIRTIO_BLK_T_GET_ID, 0, 20, true), VIRTIO_BLK_S_OK);
	assert_memory_equal(ram + DATA, "minivmm-disk", 12);
}

/* The longest request that the configuration allows, in an indirect table. */
static void test_block_segments(void **state)
{
	uint64_t config = structure(VIRTIO_PCI_CAP_DEVICE_CFG);
	unsigned int n = rd(config + offsetof(struct virtio_blk_config, seg_max), 4);
	struct vring_desc *table = (struct vring_desc *)(ram + TABLE);

	(void)state;
	start(NO_EVENT_IDX);
	memset(ram + DATA, 0x77, n * 512);
	assert_int_equal(request(VIRTIO_BLK_T_OUT, 0, n * 512, false), VIRTIO_BLK_S_OK);
	memset(ram + DATA, 0, n * 512);
	submit(VIRTIO_BLK_T_IN, 0, 512, true);
	table[0] = desc(0)[0];
	for (unsigned int i = 1; i <= n; i++)
		table[i] = (struct vring_desc) { DATA + (i - 1) * 512, 512,
						 VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, i + 1 };
	table[n + 1] = desc(0)[2];
	desc(0)[0] = (struct vring_desc) { TABLE, (n + 2) * sizeof(*table),
					   VRING_DESC_F_INDIRECT, 0 };
	kick(0);
	assert_true(interrupt_comes(DATA_QUEUE(0), WAIT_MS));
	assert_int_equal(ram[STATUS], VIRTIO_BLK_S_OK);
	for (unsigned int i = 0; i < n * 512; i++)
		assert_int_equal(ram[DATA + i], 0x77);
}

static void test_block_errors(void **state)
{
	static const struct {
		uint32_t type;
		uint64_t sector;
		uint32_t len;
		bool in;
		uint8_t status;
	} t[] = {
		{ VIRTIO_BLK_T_IN, DISK_SECTORS, 512, true, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, DISK_SECTORS - 1, 1024, true, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, DISK_SECTORS - 1, 1024, false, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, ~0ull, 512, true, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, 1ull << 55, 512, false, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, 0, 100, true, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, 0, 511, false, VIRTIO_BLK_S_IOERR },
		{ 2, 0, 512, true, VIRTIO_BLK_S_UNSUPP },
		{ 0x7fffffff, 0, 512, true, VIRTIO_BLK_S_UNSUPP },
		{ VIRTIO_BLK_T_DISCARD, 0, 8, false, VIRTIO_BLK_S_UNSUPP },
	};

	(void)state;
	start(NO_EVENT_IDX);
	for (unsigned int i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_int_equal(request(t[i].type, t[i].sector, t[i].len, t[i].in), t[i].status);
}

static void test_block_ranges(void **state)
{
	struct virtio_blk_discard_write_zeroes r = { .sector = 8, .num_sectors = 8 };
	const uint32_t type[] = { VIRTIO_BLK_T_WRITE_ZEROES, VIRTIO_BLK_T_DISCARD };

	(void)state;
	start(NO_EVENT_IDX);
	for (unsigned int i = 0; i < 2; i++) {
		memset(ram + DATA, 0x5a, 8192);
		assert_int_equal(request(VIRTIO_BLK_T_OUT, 0, 8192, false), VIRTIO_BLK_S_OK);
		r.num_sectors = 8;
		r.flags = 0;
		memcpy(ram + DATA, &r, sizeof(r));
		assert_int_equal(request(type[i], 0, sizeof(r), false), VIRTIO_BLK_S_OK);
		assert_int_equal(request(VIRTIO_BLK_T_IN, 0, 8192, true), VIRTIO_BLK_S_OK);
		assert_int_equal(ram[DATA + 4095], 0x5a);
		if (type[i] == VIRTIO_BLK_T_WRITE_ZEROES) {
			assert_int_equal(ram[DATA + 4096], 0);
			assert_int_equal(ram[DATA + 8191], 0);
		}
		r.num_sectors = DISK_SECTORS;
		memcpy(ram + DATA, &r, sizeof(r));
		assert_int_equal(request(type[i], 0, sizeof(r), false), VIRTIO_BLK_S_IOERR);
		r.flags = 0x80;
		memcpy(ram + DATA, &r, sizeof(r));
		assert_int_equal(request(type[i], 0, sizeof(r), false), VIRTIO_BLK_S_UNSUPP);
	}
}

static void test_readonly(void **state)
{
	(void)state;
	assert_true(offered() >> VIRTIO_BLK_F_RO & 1);
	start(NO_EVENT_IDX);
	assert_int_equal(request(VIRTIO_BLK_T_IN, 0, 512, true), VIRTIO_BLK_S_OK);
	assert_int_equal(request(VIRTIO_BLK_T_OUT, 0, 512, false), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(VIRTIO_BLK_T_DISCARD, 0, 16, false), VIRTIO_BLK_S_UNSUPP);
}

#define TEST(fn)	cmocka_unit_test_setup_teardown(fn, power_on_writable, machine_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_identity),
		TEST(test_bar_sizing),
		TEST(test_bar_moves),
		TEST(test_bars_overlap),
		TEST(test_negotiation),
		TEST(test_queue_registers),
		TEST(test_msix_masks),
		TEST(test_intx),
		TEST(test_cfg_window),
		TEST(test_needs_reset),
		TEST(test_bus_master),
		TEST(test_reset_under_load),
		TEST(test_stopping),
		TEST(test_random_accesses),
		TEST(test_block_io),
		TEST(test_block_segments),
		TEST(test_block_errors),
		TEST(test_block_ranges),
		cmocka_unit_test_setup_teardown(test_readonly, power_on_readonly, machine_end),
	};
	int fd, ret;

	snprintf(disk_path, sizeof(disk_path), "/tmp/test-virtio-pci.XXXXXX");
	fd = mkstemp(disk_path);
	if (fd < 0)
		return 1;
	close(fd);
	ret = cmocka_run_group_tests_name("virtio-pci", tests, NULL, NULL);
	unlink(disk_path);
	return ret;
}
