// SPDX-License-Identifier: GPL-2.0
/*
 * The user mode network: libslirp on a thread of its own, joined to the network card by a socket
 * pair, so that the card sees what it would see of a tap device.
 * Entered from virtio-net's set-up and end; all else happens on the thread.
 * No locks: libslirp is used by the one thread alone.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <slirp/libslirp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "machine.h"
#include "net/backend.h"

/*
 * The guest's MTU. Its TCP ends in libslirp, where the host's own begins, so it may be larger than
 * any real network's: fewer frames for the same data. libslirp's window is 64 KiB: at this size
 * four segments are under way at once.
 */
#define USER_MTU		16384
#define BACKLOG_MAX		(1u << 20)	/* bytes kept for a guest that does not read */
#define SOCKET_BUFFER		(1u << 20)
#define INPUT_BATCH		64		/* frames between two looks at the host's sockets */
#define TIMERS_MAX		4

struct frame {
	struct frame *next;
	size_t len;
	uint8_t data[];
};

struct user_timer {
	SlirpTimerCb cb;
	void *opaque;
	int64_t expires_ms;	/* -1: not armed */
	bool used;
};

struct user_net {
	pthread_t thread;
	Slirp *slirp;
	int fd;			/* our end of the pair */
	int stop_fd;
	struct pollfd *poll;	/* [0] fd, [1] stop_fd, then libslirp's */
	unsigned int nr_poll, cap_poll;
	struct frame *backlog, **backlog_end;	/* frames that the socket had no room for */
	size_t backlog_bytes;
	struct user_timer timer[TIMERS_MAX];
	uint8_t buf[NET_FRAME_MAX];
};

/* ---- What libslirp calls ---- */

static int64_t clock_ns(void *opaque)
{
	(void)opaque;
	return loop_now_ns();
}

static bool send_frame(struct user_net *u, const void *data, size_t len)
{
	/* Anything but a full socket loses the frame, as a wire may. */
	return send(u->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 ||
	       (errno != EAGAIN && errno != ENOBUFS);
}

static ssize_t send_packet(const void *data, size_t len, void *opaque)
{
	struct user_net *u = opaque;
	struct frame *f;

	if (!u->backlog && send_frame(u, data, len))
		return len;
	if (u->backlog_bytes + len > 2 * BACKLOG_MAX)
		return len;	/* dropped: replies to the guest's own flood; TCP sends again */
	f = malloc(sizeof(*f) + len);
	if (!f)
		return len;
	f->next = NULL;
	f->len = len;
	memcpy(f->data, data, len);
	*u->backlog_end = f;
	u->backlog_end = &f->next;
	u->backlog_bytes += len;
	return len;
}

static void guest_error(const char *msg, void *opaque)
{
	/* What a guest sends in error is its own affair, and must not fill the log. */
	(void)msg;
	(void)opaque;
}

static void *timer_new(SlirpTimerCb cb, void *cb_opaque, void *opaque)
{
	struct user_net *u = opaque;

	for (unsigned int i = 0; i < TIMERS_MAX; i++) {
		struct user_timer *t = &u->timer[i];

		if (t->used)
			continue;
		*t = (struct user_timer) {
			.cb = cb,
			.opaque = cb_opaque,
			.expires_ms = -1,
			.used = true,
		};
		return t;
	}
	return NULL;
}

static void timer_free(void *timer, void *opaque)
{
	(void)opaque;
	if (timer)
		((struct user_timer *)timer)->used = false;
}

static void timer_mod(void *timer, int64_t expire_time, void *opaque)
{
	(void)opaque;
	if (timer)
		((struct user_timer *)timer)->expires_ms = expire_time;
}

static void poll_fd_noted(int fd, void *opaque)
{
	/* Each round asks for the fds anew. */
	(void)fd;
	(void)opaque;
}

static void notified(void *opaque)
{
	/* Only calls from other threads would need a wake-up; there are none. */
	(void)opaque;
}

static const SlirpCb user_callbacks = {
	.send_packet = send_packet,
	.guest_error = guest_error,
	.clock_get_ns = clock_ns,
	.timer_new = timer_new,
	.timer_free = timer_free,
	.timer_mod = timer_mod,
	.register_poll_fd = poll_fd_noted,
	.unregister_poll_fd = poll_fd_noted,
	.notify = notified,
};

/* ---- The thread ---- */

/* libslirp's event bits and poll's. */
static const struct {
	int slirp;
	short poll;
} event_bits[] = {
	{ SLIRP_POLL_IN, POLLIN },
	{ SLIRP_POLL_OUT, POLLOUT },
	{ SLIRP_POLL_PRI, POLLPRI },
	{ SLIRP_POLL_ERR, POLLERR },
	{ SLIRP_POLL_HUP, POLLHUP },
};

#define NR_EVENT_BITS	(sizeof(event_bits) / sizeof(event_bits[0]))

static int add_poll(int fd, int events, void *opaque)
{
	struct user_net *u = opaque;
	struct pollfd *p;

	/* While the guest does not read, neither do we: the host's senders wait. */
	if (u->backlog_bytes >= BACKLOG_MAX)
		return -1;	/* get_revents() finds nothing there */
	if (u->nr_poll == u->cap_poll) {
		p = realloc(u->poll, 2 * u->cap_poll * sizeof(*p));
		if (!p)
			return -1;
		u->poll = p;
		u->cap_poll *= 2;
	}
	p = &u->poll[u->nr_poll];
	*p = (struct pollfd) { .fd = fd };
	for (unsigned int i = 0; i < NR_EVENT_BITS; i++) {
		if (events & event_bits[i].slirp)
			p->events |= event_bits[i].poll;
	}
	return u->nr_poll++;
}

static int get_revents(int idx, void *opaque)
{
	struct user_net *u = opaque;
	int events = 0;

	for (unsigned int i = 0; idx >= 0 && i < NR_EVENT_BITS; i++) {
		if (u->poll[idx].revents & event_bits[i].poll)
			events |= event_bits[i].slirp;
	}
	return events;
}

static void drain_backlog(struct user_net *u)
{
	while (u->backlog && send_frame(u, u->backlog->data, u->backlog->len)) {
		struct frame *f = u->backlog;

		u->backlog = f->next;
		u->backlog_bytes -= f->len;
		free(f);
	}
	if (!u->backlog)
		u->backlog_end = &u->backlog;
}

static void guest_frames(struct user_net *u)
{
	for (unsigned int i = 0; i < INPUT_BATCH; i++) {
		ssize_t n = recv(u->fd, u->buf, sizeof(u->buf), MSG_DONTWAIT);

		if (n <= 0)
			return;
		slirp_input(u->slirp, u->buf, n);
	}
}

static void run_timers(struct user_net *u, uint32_t *timeout_ms)
{
	int64_t now = loop_now_ns() / 1000000;

	for (unsigned int i = 0; i < TIMERS_MAX; i++) {
		struct user_timer *t = &u->timer[i];

		if (!t->used || t->expires_ms < 0)
			continue;
		if (t->expires_ms <= now) {
			t->expires_ms = -1;
			t->cb(t->opaque);
		}
		if (t->expires_ms > now && t->expires_ms - now < *timeout_ms)
			*timeout_ms = t->expires_ms - now;
	}
}

static void *user_thread(void *opaque)
{
	struct user_net *u = opaque;

	for (;;) {
		uint32_t timeout = UINT32_MAX;
		int n;

		u->poll[0] = (struct pollfd) { .fd = u->fd, .events = POLLIN };
		u->poll[1] = (struct pollfd) { .fd = u->stop_fd, .events = POLLIN };
		u->nr_poll = 2;
		if (u->backlog)
			u->poll[0].events |= POLLOUT;
		run_timers(u, &timeout);
		slirp_pollfds_fill(u->slirp, &timeout, add_poll, u);
		n = poll(u->poll, u->nr_poll, timeout > INT32_MAX ? -1 : (int)timeout);
		if (n >= 0 && (u->poll[1].revents || (u->poll[0].revents & POLLHUP)))
			return NULL;
		slirp_pollfds_poll(u->slirp, n < 0, get_revents, u);
		drain_backlog(u);
		guest_frames(u);
	}
}

/* ---- Set-up and end ---- */

static void user_close(struct net_backend *be)
{
	struct user_net *u = be->opaque;
	uint64_t one = 1;

	if (write(u->stop_fd, &one, sizeof(one)) == sizeof(one))
		pthread_join(u->thread, NULL);
	slirp_cleanup(u->slirp);
	while (u->backlog) {
		struct frame *f = u->backlog;

		u->backlog = f->next;
		free(f);
	}
	close(u->fd);
	close(u->stop_fd);
	close(be->fd);
	free(u->poll);
	free(u);
}

static Slirp *start_slirp(struct user_net *u)
{
	SlirpConfig config = {
		.version = 3,
		.in_enabled = true,
		.vnetwork.s_addr = inet_addr("10.0.2.0"),
		.vnetmask.s_addr = inet_addr("255.255.255.0"),
		.vhost.s_addr = inet_addr("10.0.2.2"),
		.vdhcp_start.s_addr = inet_addr("10.0.2.15"),
		.vnameserver.s_addr = inet_addr("10.0.2.3"),
		.vhostname = "minivmm",
		.if_mtu = USER_MTU,
		.if_mru = USER_MTU,
	};

	return slirp_new(&config, &user_callbacks, u);
}

/* The thread takes no signals: they are the main thread's and the vCPUs'. */
static void start_thread(struct user_net *u)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	sigdelset(&all, SIGSYS);	/* the sandbox names what it forbids */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&u->thread, NULL, user_thread, u);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		die("--net user: cannot start a thread: %s", strerror(err));
	pthread_setname_np(u->thread, "user-net");
}

/* Before the sandbox and a change of user, so that a port below 1024 is to be had. */
static void add_forwards(struct user_net *u, const struct net_option *opt)
{
	for (unsigned int i = 0; i < opt->nr_forwards; i++) {
		const struct net_forward *f = &opt->forward[i];

		if (slirp_add_hostfwd(u->slirp, f->udp, f->host, f->host_port, f->guest,
				      f->guest_port))
			die("--net user: hostfwd=%s: %s", f->text, strerror(errno));
	}
}

void net_user_open(struct net_backend *be, const struct net_option *opt)
{
	struct user_net *u = calloc(1, sizeof(*u));
	int size = SOCKET_BUFFER;
	int pair[2];

	if (!u || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
		die("--net user: %s", strerror(errno));
	for (unsigned int i = 0; i < 2; i++) {
		/* The limit for all is enough for a few frames; more is better, not needed. */
		if (setsockopt(pair[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
			setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	}
	u->fd = pair[0];
	u->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	u->backlog_end = &u->backlog;
	u->cap_poll = 64;
	u->poll = calloc(u->cap_poll, sizeof(*u->poll));
	if (u->stop_fd < 0 || !u->poll)
		die("--net user: %s", strerror(errno));
	u->slirp = start_slirp(u);
	if (!u->slirp)
		die("--net user: libslirp does not start");
	add_forwards(u, opt);
	start_thread(u);
	*be = (struct net_backend) {
		.fd = pair[1],
		.mtu = USER_MTU,
		.close = user_close,
		.opaque = u,
	};
}
