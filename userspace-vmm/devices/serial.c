// SPDX-License-Identifier: GPL-2.0
/*
 * 16550A serial port, COM1. Output leaves at once, so the transmitter is always empty.
 * Entered from vCPU threads (registers) and the loop's thread (input).
 * serial.lock guards the registers; the terminal is written without it.
 * National Semiconductor PC16550D data sheet: "Registers", "FIFO Interrupt Mode Operation".
 */
#include <stdlib.h>
#include <string.h>

#include "chardev.h"
#include "machine.h"
#include "devices/board.h"

#define FIFO_SIZE	16

enum { RBR_THR, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };

#define IER_RDI		0x01		/* received data */
#define IER_THRI	0x02		/* transmitter empty */
#define IER_RLSI	0x04		/* line status */
#define IER_MSI		0x08		/* modem status */

#define IIR_NONE	0x01
#define IIR_MSI		0x00
#define IIR_THRI	0x02
#define IIR_RDI		0x04
#define IIR_TIMEOUT	0x0c		/* data below the trigger level has waited */
#define IIR_FIFO	0xc0

#define FCR_ENABLE	0x01
#define FCR_CLEAR_RX	0x02
#define FCR_KEPT	0xc9		/* trigger level, DMA mode, enable */

#define LCR_DLAB	0x80

#define MCR_DTR		0x01
#define MCR_RTS		0x02
#define MCR_OUT1	0x04
#define MCR_OUT2	0x08		/* gates the interrupt on a PC */
#define MCR_LOOP	0x10

#define LSR_DR		0x01
#define LSR_OE		0x02
#define LSR_THRE	0x20
#define LSR_TEMT	0x40

#define MSR_CTS		0x10
#define MSR_DSR		0x20
#define MSR_RI		0x40
#define MSR_DCD		0x80
#define MSR_TERI	0x04		/* RI's delta is set by its falling edge alone */

struct serial {
	struct machine *m;
	struct bus_region region;
	pthread_mutex_t lock;
	uint8_t ier, fcr, lcr, mcr, msr, scr, dll, dlm, overrun;
	bool thr_pending;		/* a transmitter interrupt that nobody has read */
	bool line;
	uint8_t fifo[FIFO_SIZE];
	unsigned int head, count;
};

static unsigned int fifo_room(const struct serial *s)
{
	return (s->fcr & FCR_ENABLE ? FIFO_SIZE : 1) - s->count;
}

static void fifo_put(struct serial *s, uint8_t byte)
{
	if (s->fcr & FCR_ENABLE ? s->count == FIFO_SIZE : s->count > 0) {
		s->overrun = LSR_OE;
		if (s->fcr & FCR_ENABLE)
			return;
		s->count = 0;		/* without FIFOs the new byte replaces the old */
	}
	s->fifo[(s->head + s->count++) % FIFO_SIZE] = byte;
}

static uint8_t fifo_get(struct serial *s)
{
	uint8_t byte = s->fifo[s->head];

	if (!s->count)
		return 0;
	s->head = (s->head + 1) % FIFO_SIZE;
	s->count--;
	return byte;
}

/* The interrupt of highest priority. */
static uint8_t pending(const struct serial *s)
{
	static const uint8_t trigger[4] = { 1, 4, 8, 14 };
	unsigned int level = s->fcr & FCR_ENABLE ? trigger[s->fcr >> 6] : 1;

	if (s->ier & IER_RLSI && s->overrun)
		return 0x06;
	if (s->ier & IER_RDI && s->count)
		return s->count >= level ? IIR_RDI : IIR_TIMEOUT;
	if (s->ier & IER_THRI && s->thr_pending)
		return IIR_THRI;
	if (s->ier & IER_MSI && s->msr & 0x0f)
		return IIR_MSI;
	return IIR_NONE;
}

static void update_irq(struct serial *s)
{
	/* In loopback the pin OUT2 is inactive whatever the register says. */
	bool gate = s->mcr & MCR_OUT2 && !(s->mcr & MCR_LOOP);
	bool line = gate && pending(s) != IIR_NONE;

	if (line == s->line)
		return;
	s->line = line;
	irq_line(s->m, GSI_COM1, line);
}

/* The modem lines: a terminal that is there, or in loopback our own outputs. */
static void update_modem(struct serial *s)
{
	uint8_t lines = MSR_DCD | MSR_DSR | MSR_CTS;
	uint8_t delta;

	if (s->mcr & MCR_LOOP) {
		lines = (s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) |
			(s->mcr & MCR_OUT1 ? MSR_RI : 0) | (s->mcr & MCR_OUT2 ? MSR_DCD : 0);
	}
	delta = (s->msr ^ lines) >> 4;
	if (lines & MSR_RI)
		delta &= ~MSR_TERI;
	s->msr = lines | (s->msr & 0x0f) | delta;
}

static uint8_t read_iir(struct serial *s)
{
	uint8_t iir = pending(s);

	if (iir == IIR_THRI)
		s->thr_pending = false;
	return iir | (s->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static uint8_t read_lsr(struct serial *s)
{
	uint8_t lsr = LSR_THRE | LSR_TEMT | s->overrun | (s->count ? LSR_DR : 0);

	s->overrun = 0;
	return lsr;
}

static uint8_t read_msr(struct serial *s)
{
	uint8_t msr = s->msr;

	s->msr &= 0xf0;
	return msr;
}

/* Registers 0 and 1 are the divisor while DLAB is set. */
static uint8_t reg_read(struct serial *s, uint64_t reg)
{
	bool dlab = s->lcr & LCR_DLAB;

	switch (reg) {
	case RBR_THR:
		return dlab ? s->dll : fifo_get(s);
	case IER:
		return dlab ? s->dlm : s->ier;
	case IIR_FCR:
		return read_iir(s);
	case LCR:
		return s->lcr;
	case MCR:
		return s->mcr;
	case LSR:
		return read_lsr(s);
	case MSR:
		return read_msr(s);
	default:
		return s->scr;
	}
}

static void write_fcr(struct serial *s, uint8_t val)
{
	/* The other bits count only together with "enable"; switching it empties the FIFOs. */
	if ((val ^ s->fcr) & FCR_ENABLE || val & FCR_CLEAR_RX)
		s->count = 0;
	s->fcr = val & FCR_ENABLE ? val & FCR_KEPT : 0;
}

static void write_ier(struct serial *s, uint8_t val)
{
	val &= 0x0f;
	if (val & ~s->ier & IER_THRI)
		s->thr_pending = true;	/* enabling it while empty raises it */
	s->ier = val;
}

/* Return: whether the byte is to be sent. */
static bool write_thr(struct serial *s, uint8_t val)
{
	s->thr_pending = true;
	if (!(s->mcr & MCR_LOOP))
		return true;
	fifo_put(s, val);
	return false;
}

static bool reg_write(struct serial *s, uint64_t reg, uint8_t val)
{
	bool dlab = s->lcr & LCR_DLAB, send = false;

	switch (reg) {
	case RBR_THR:
		if (dlab)
			s->dll = val;
		else
			send = write_thr(s, val);
		break;
	case IER:
		if (dlab)
			s->dlm = val;
		else
			write_ier(s, val);
		break;
	case IIR_FCR:
		write_fcr(s, val);
		break;
	case LCR:
		s->lcr = val;
		break;
	case MCR:
		s->mcr = val & 0x1f;
		update_modem(s);
		break;
	case SCR:
		s->scr = val;
		break;
	}
	return send;
}

static void serial_access(void *opaque, uint64_t offset, void *data, unsigned int len, bool write)
{
	struct serial *s = opaque;
	uint8_t *bytes = data;
	unsigned int i;
	bool send, room;

	for (i = 0; i < len; i++) {
		send = false;
		pthread_mutex_lock(&s->lock);
		if (write)
			send = reg_write(s, offset + i, bytes[i]);
		else
			bytes[i] = reg_read(s, offset + i);
		update_irq(s);
		room = !s->count;
		pthread_mutex_unlock(&s->lock);

		if (send)
			chardev_write(s->m, &bytes[i], 1);
		if (room)
			chardev_resume(s->m);
	}
}

static size_t serial_receive(void *opaque, const uint8_t *buf, size_t len)
{
	struct serial *s = opaque;
	size_t n = 0;

	pthread_mutex_lock(&s->lock);
	/*
	 * The peer minds RTS, so what is piped in waits until the guest has opened the port and
	 * cleared its FIFO. Nothing comes from outside while the port talks to itself.
	 */
	if (s->mcr & MCR_RTS && !(s->mcr & MCR_LOOP)) {
		while (n < len && fifo_room(s))
			fifo_put(s, buf[n++]);
	}
	update_irq(s);
	pthread_mutex_unlock(&s->lock);
	return n;
}

static void serial_cleanup(void *opaque)
{
	struct serial *s = opaque;

	bus_unregister(&s->m->pio, &s->region);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

void serial_create(struct machine *m)
{
	struct serial *s = calloc(1, sizeof(*s));

	if (!s)
		die("out of memory");
	s->m = m;
	pthread_mutex_init(&s->lock, NULL);
	s->dll = 1;			/* 115200 baud */
	s->lcr = 3;			/* 8N1 */
	s->msr = MSR_DCD | MSR_DSR | MSR_CTS;
	s->region = (struct bus_region){
		.base = PORT_COM1, .len = 8, .handler = serial_access, .opaque = s, .name = "com1",
	};
	board_port(m, &s->region);
	machine_at_exit(m, serial_cleanup, s);
	if (m->cfg.console == CONSOLE_SERIAL)
		chardev_attach(m, serial_receive, s);
}
