// SPDX-License-Identifier: GPL-2.0
/*
 * Standard input and output as the guest's console: a raw terminal with an escape key, or pipes.
 * Entered from the loop's thread (input) and from any (output, chardev_resume()).
 * Input state belongs to the loop's thread, but for the atomic flag "starved"; out_lock guards
 * the output buffer, and is a leaf.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "chardev.h"
#include "devices/board.h"
#include "machine.h"
#include "terminal.h"

#define ESCAPE		0x01		/* Ctrl-A */
#define INPUT_SIZE	256
#define OUTPUT_SIZE	8192
#define OUTPUT_DELAY_NS	2000000		/* bytes that come this close leave in one write(2) */
#define OUTPUT_RETRY_NS	10000000	/* while the terminal takes no more */
#define OUTPUT_PATIENCE	20		/* times 100 ms for the last bytes of all */

struct chardev {
	struct machine *m;
	chardev_receive receive;
	void *opaque;
	int fd;				/* where input comes from, -1 after its end */
	bool tty, escaped, watching;
	bool starved;			/* [atomic] input waits for chardev_resume() */
	uint8_t buf[INPUT_SIZE];
	size_t len;
	pthread_t feeder;
	bool feeding;
	int pipe[2];

	pthread_mutex_t out_lock;
	struct loop_timer *out_timer;
	int out_fd;			/* stdout, non-blocking where that can be had */
	uint8_t out[OUTPUT_SIZE];
	size_t out_len;
};

/* The terminal's own mode, for atexit() and signal handlers. */
static struct termios saved;
static volatile sig_atomic_t raw;

void terminal_restore(void)
{
	if (!raw)
		return;
	raw = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &saved);
}

void terminal_die(int sig)
{
	terminal_restore();
	signal(sig, SIG_DFL);
	raise(sig);
}

static void set_raw(void)
{
	struct termios t = saved;

	cfmakeraw(&t);
	raw = 1;
	tcsetattr(STDIN_FILENO, TCSANOW, &t);
}

void terminal_stop(void)
{
	bool was_raw = raw;

	terminal_restore();
	raise(SIGSTOP);
	if (was_raw)
		set_raw();
}

static void make_raw(void)
{
	static const int fatal[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
	unsigned int i;

	if (tcgetattr(STDIN_FILENO, &saved))
		return;
	atexit(terminal_restore);
	for (i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		signal(fatal[i], terminal_die);
	set_raw();
}

static void help(void)
{
	complain("Ctrl-A x: quit at once; Ctrl-A p: press the power button; "
		 "Ctrl-A Ctrl-A: send Ctrl-A; Ctrl-A h: this");
}

/* The byte after Ctrl-A. Return: whether it is for the guest. */
static bool escape_command(struct chardev *c, uint8_t key)
{
	switch (key) {
	case 'x':
		complain("quit");
		machine_stop(c->m, EXIT_POWEROFF);
		return false;
	case 'p':
		if (!pm_power_button(c->m))
			complain("the guest does not listen to its power button");
		return false;
	case ESCAPE:
		return true;
	default:
		help();
		return false;
	}
}

/* Take the escapes out of what was typed. Return: the length that is left. */
static size_t filter(struct chardev *c, uint8_t *buf, size_t len)
{
	size_t i, out = 0;

	if (!c->tty)
		return len;
	for (i = 0; i < len; i++) {
		if (c->escaped) {
			c->escaped = false;
			if (escape_command(c, buf[i]))
				buf[out++] = buf[i];
		} else if (buf[i] == ESCAPE) {
			c->escaped = true;
		} else {
			buf[out++] = buf[i];
		}
	}
	return out;
}

static void readable(void *opaque, uint32_t events);

/*
 * While the guest takes nothing, a pipe is not looked at (its hang-up would keep the loop busy).
 * A terminal is: Ctrl-A x must work, and what finds no room any more is dropped.
 */
static void watch(struct chardev *c, bool on)
{
	if (on == c->watching || c->fd < 0)
		return;
	if (on)
		loop_add_fd(c->m->loop, c->fd, EPOLLIN, readable, c);
	else
		loop_del_fd(c->m->loop, c->fd);
	c->watching = on;
}

static void deliver(struct chardev *c)
{
	size_t n;

	if (c->len && c->receive) {
		/* Before the attempt: room that comes during it must not go unnoticed. */
		__atomic_store_n(&c->starved, true, __ATOMIC_SEQ_CST);
		n = c->receive(c->opaque, c->buf, c->len);
		c->len -= n;
		memmove(c->buf, c->buf + n, c->len);
	}
	if (!c->len)
		__atomic_store_n(&c->starved, false, __ATOMIC_SEQ_CST);
	watch(c, c->tty || !c->len);
}

static void readable(void *opaque, uint32_t events)
{
	struct chardev *c = opaque;
	uint8_t in[INPUT_SIZE];
	ssize_t n;

	(void)events;
	n = read(c->fd, in, c->tty ? sizeof(in) : sizeof(in) - c->len);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		watch(c, false);
		c->fd = -1;		/* the end of input is not the end of the guest */
		return;
	}
	n = filter(c, in, n);
	if ((size_t)n > sizeof(c->buf) - c->len)
		n = sizeof(c->buf) - c->len;
	memcpy(c->buf + c->len, in, n);
	c->len += n;
	deliver(c);
}

static void resume(void *opaque, uint32_t events)
{
	(void)events;
	deliver(opaque);
}

void chardev_attach(struct machine *m, chardev_receive receive, void *opaque)
{
	m->chardev->receive = receive;
	m->chardev->opaque = opaque;
}

void chardev_resume(struct machine *m)
{
	struct chardev *c = m->chardev;

	/* One post is under way for each time the flag goes down. */
	if (__atomic_load_n(&c->starved, __ATOMIC_SEQ_CST) &&
	    __atomic_exchange_n(&c->starved, false, __ATOMIC_SEQ_CST))
		loop_post(m->loop, resume, c);
}

/* Write what goes without waiting. Called with out_lock held. Return: whether all went. */
static bool drain(struct chardev *c)
{
	while (c->out_len) {
		ssize_t n = write(c->out_fd, c->out, c->out_len);

		if (n < 0 && errno == EINTR && !machine_stopping(c->m))
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return false;
		if (n < 0)
			n = c->out_len;		/* nobody is there to read it */
		c->out_len -= n;
		memmove(c->out, c->out + n, c->out_len);
	}
	return true;
}

static void flush_due(void *opaque, uint32_t events)
{
	struct chardev *c = opaque;

	(void)events;
	pthread_mutex_lock(&c->out_lock);
	if (!drain(c))
		loop_timer_set(c->out_timer, loop_now_ns() + OUTPUT_RETRY_NS);
	pthread_mutex_unlock(&c->out_lock);
}

static void wait_writable(struct chardev *c)
{
	struct pollfd p = { .fd = c->out_fd, .events = POLLOUT };

	poll(&p, 1, 100);
}

/*
 * A guest prints byte by byte; a system call for each would be most of its time. A full buffer
 * makes the vCPU wait, as a slow line would.
 */
void chardev_write(struct machine *m, const uint8_t *buf, size_t len)
{
	struct chardev *c = m->chardev;
	size_t n;

	pthread_mutex_lock(&c->out_lock);
	while (len) {
		if (c->out_len == sizeof(c->out) && !drain(c) && c->out_len == sizeof(c->out)) {
			pthread_mutex_unlock(&c->out_lock);
			if (machine_stopping(m))
				return;
			wait_writable(c);
			pthread_mutex_lock(&c->out_lock);
			continue;
		}
		n = sizeof(c->out) - c->out_len;
		n = len < n ? len : n;
		if (!c->out_len)
			loop_timer_set(c->out_timer, loop_now_ns() + OUTPUT_DELAY_NS);
		memcpy(c->out + c->out_len, buf, n);
		c->out_len += n;
		buf += n;
		len -= n;
	}
	pthread_mutex_unlock(&c->out_lock);
}

void chardev_flush(struct machine *m)
{
	struct chardev *c = m->chardev;
	bool done = false;
	int i;

	for (i = 0; i < OUTPUT_PATIENCE && !done; i++) {
		if (i)
			wait_writable(c);
		pthread_mutex_lock(&c->out_lock);
		done = drain(c);
		pthread_mutex_unlock(&c->out_lock);
	}
}

/*
 * The flags of stdout are shared with whoever started us, so a terminal or pipe is opened once
 * more to have our own. A regular file is not: its position would be another.
 */
static int open_output(void)
{
	struct stat st;
	int fd;

	if (fstat(STDOUT_FILENO, &st) || !(S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode)))
		return STDOUT_FILENO;
	fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? STDOUT_FILENO : fd;
}

/* epoll refuses regular files and /dev/null: a thread makes a pipe of them. */
static void *feed(void *opaque)
{
	struct chardev *c = opaque;
	uint8_t buf[4096];
	ssize_t n, done, w;

	while ((n = read(STDIN_FILENO, buf, sizeof(buf))) > 0) {
		for (done = 0; done < n; done += w) {
			w = write(c->pipe[1], buf + done, n - done);
			if (w < 0)
				goto out;	/* taken down: the other end is closed */
		}
	}
out:
	close(c->pipe[1]);
	return NULL;
}

static void start_feeder(struct chardev *c)
{
	sigset_t all, old;
	int ret;

	if (pipe2(c->pipe, O_CLOEXEC))
		die("cannot make a pipe: %s", strerror(errno));
	sigfillset(&all);
	sigdelset(&all, SIGSYS);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(&c->feeder, NULL, feed, c);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (ret)
		die("cannot start a thread for standard input: %s", strerror(ret));
	c->feeding = true;
	c->fd = c->pipe[0];
}

static void chardev_cleanup(void *opaque)
{
	struct chardev *c = opaque;

	watch(c, false);
	if (c->feeding) {
		close(c->pipe[0]);
		pthread_join(c->feeder, NULL);
	}
	chardev_flush(c->m);
	terminal_restore();
	loop_timer_destroy(c->out_timer);
	if (c->out_fd != STDOUT_FILENO)
		close(c->out_fd);
	pthread_mutex_destroy(&c->out_lock);
	free(c);
}

void chardev_create(struct machine *m)
{
	struct chardev *c = calloc(1, sizeof(*c));
	struct stat st;

	if (c)
		c->out_timer = loop_timer_create(m->loop, flush_due, c);
	if (!c || !c->out_timer)
		die("out of memory");
	c->m = m;
	m->chardev = c;
	pthread_mutex_init(&c->out_lock, NULL);
	c->out_fd = open_output();
	machine_at_exit(m, chardev_cleanup, c);
	c->fd = fstat(STDIN_FILENO, &st) ? -1 : STDIN_FILENO;
	c->tty = c->fd >= 0 && isatty(c->fd);
}

void chardev_start(struct machine *m)
{
	struct chardev *c = m->chardev;
	int ret;

	if (c->fd < 0)
		return;
	if (c->tty) {
		make_raw();
		complain("Ctrl-A h for help, Ctrl-A x to quit");
	}
	ret = loop_add_fd(m->loop, c->fd, EPOLLIN, readable, c);
	if (ret == -EPERM) {
		start_feeder(c);
		ret = loop_add_fd(m->loop, c->fd, EPOLLIN, readable, c);
	}
	c->watching = !ret;
}
