// SPDX-License-Identifier: GPL-2.0
/*
 * The event loop of device I/O: epoll, with callbacks.
 * Entered from set-up and from devices on any thread; callbacks run on the loop's own.
 * loop.lock (recursive) guards the lists and is held over each callback.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "loop.h"

#define BATCH	32

/*
 * A watched fd. A deleted one stays allocated until the batch that may still name it is done:
 * it is out of the epoll set by then, so no later batch can.
 */
struct watch {
	struct watch *next;
	loop_cb cb;
	void *opaque;
	int fd;
	bool dead;
};

struct post {
	struct post *next;
	loop_cb cb;
	void *opaque;
};

struct loop {
	pthread_mutex_t lock;
	pthread_t thread;
	struct watch *watches, *graveyard;
	struct post *posts, **last_post;
	int epoll_fd, wake_fd;
	bool running, stop;
	char name[16];
};

struct loop_timer {
	struct loop *loop;
	loop_cb cb;
	void *opaque;
	int fd;
};

uint64_t loop_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* The wake-up eventfd: what was posted runs in order, each under the lock. */
static void run_posts(void *opaque, uint32_t events)
{
	struct loop *loop = opaque;
	uint64_t count;

	(void)events;
	if (read(loop->wake_fd, &count, sizeof(count)) < 0)
		return;
	while (loop->posts) {
		struct post *p = loop->posts;

		loop->posts = p->next;
		if (!loop->posts)
			loop->last_post = &loop->posts;
		p->cb(p->opaque, 0);
		free(p);
	}
}

static void wake(struct loop *loop)
{
	uint64_t one = 1;

	if (write(loop->wake_fd, &one, sizeof(one)) < 0)
		return;	/* only EAGAIN, at 2^64 - 2: it is awake */
}

struct loop *loop_create(const char *name)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	pthread_mutexattr_t attr;

	if (!loop)
		die("out of memory");
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&loop->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	strncpy(loop->name, name, sizeof(loop->name) - 1);
	loop->last_post = &loop->posts;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->epoll_fd < 0 || loop->wake_fd < 0 ||
	    loop_add_fd(loop, loop->wake_fd, EPOLLIN, run_posts, loop))
		die("cannot make an event loop: %s", strerror(errno));
	return loop;
}

static void bury(struct loop *loop)
{
	while (loop->graveyard) {
		struct watch *w = loop->graveyard;

		loop->graveyard = w->next;
		free(w);
	}
}

static void *loop_main(void *opaque)
{
	struct epoll_event ev[BATCH];
	struct loop *loop = opaque;
	int i, n;

	prctl(PR_SET_NAME, loop->name);
	while (!__atomic_load_n(&loop->stop, __ATOMIC_ACQUIRE)) {
		n = epoll_wait(loop->epoll_fd, ev, BATCH, -1);
		for (i = 0; i < n; i++) {
			struct watch *w = ev[i].data.ptr;

			pthread_mutex_lock(&loop->lock);
			if (!w->dead)
				w->cb(w->opaque, ev[i].events);
			pthread_mutex_unlock(&loop->lock);
		}
		pthread_mutex_lock(&loop->lock);
		bury(loop);
		pthread_mutex_unlock(&loop->lock);
	}
	return NULL;
}

void loop_start(struct loop *loop)
{
	sigset_t all, old;
	int ret;

	sigfillset(&all);
	sigdelset(&all, SIGSYS);	/* the sandbox names what it forbids */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(&loop->thread, NULL, loop_main, loop);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (ret)
		die("cannot start thread %s: %s", loop->name, strerror(ret));
	loop->running = true;
}

void loop_stop(struct loop *loop)
{
	if (!loop->running)
		return;
	__atomic_store_n(&loop->stop, true, __ATOMIC_RELEASE);
	wake(loop);
	pthread_join(loop->thread, NULL);
	loop->running = false;
}

void loop_destroy(struct loop *loop)
{
	loop_stop(loop);
	while (loop->watches) {
		struct watch *w = loop->watches;

		loop->watches = w->next;
		free(w);
	}
	while (loop->posts) {
		struct post *p = loop->posts;

		loop->posts = p->next;
		free(p);
	}
	bury(loop);
	close(loop->wake_fd);
	close(loop->epoll_fd);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

static struct watch **find(struct loop *loop, int fd)
{
	struct watch **w;

	for (w = &loop->watches; *w; w = &(*w)->next) {
		if ((*w)->fd == fd)
			break;
	}
	return w;
}

int loop_add_fd(struct loop *loop, int fd, uint32_t events, loop_cb cb, void *opaque)
{
	struct watch *w = calloc(1, sizeof(*w));
	struct epoll_event ev = { .events = events, .data.ptr = w };
	int ret = 0;

	if (!w)
		return -ENOMEM;
	w->fd = fd;
	w->cb = cb;
	w->opaque = opaque;
	pthread_mutex_lock(&loop->lock);
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		ret = -errno;
		free(w);
	} else {
		w->next = loop->watches;
		loop->watches = w;
	}
	pthread_mutex_unlock(&loop->lock);
	return ret;
}

int loop_mod_fd(struct loop *loop, int fd, uint32_t events)
{
	struct epoll_event ev = { .events = events };
	int ret = -ENOENT;
	struct watch *w;

	pthread_mutex_lock(&loop->lock);
	w = *find(loop, fd);
	if (w) {
		ev.data.ptr = w;
		ret = epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd, &ev) < 0 ? -errno : 0;
	}
	pthread_mutex_unlock(&loop->lock);
	return ret;
}

int loop_del_fd(struct loop *loop, int fd)
{
	struct watch **at, *w;
	int ret = -ENOENT;

	pthread_mutex_lock(&loop->lock);
	at = find(loop, fd);
	w = *at;
	if (w) {
		epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		*at = w->next;
		w->dead = true;
		w->next = loop->graveyard;
		loop->graveyard = w;
		ret = 0;
	}
	pthread_mutex_unlock(&loop->lock);
	return ret;
}

int loop_post(struct loop *loop, loop_cb cb, void *opaque)
{
	struct post *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->cb = cb;
	p->opaque = opaque;
	pthread_mutex_lock(&loop->lock);
	*loop->last_post = p;
	loop->last_post = &p->next;
	pthread_mutex_unlock(&loop->lock);
	wake(loop);
	return 0;
}

static void timer_fired(void *opaque, uint32_t events)
{
	struct loop_timer *t = opaque;
	uint64_t count;

	(void)events;
	/* Nothing to read: it was set again in the meantime. */
	if (read(t->fd, &count, sizeof(count)) < 0)
		return;
	t->cb(t->opaque, 0);	/* may free @t */
}

struct loop_timer *loop_timer_create(struct loop *loop, loop_cb cb, void *opaque)
{
	struct loop_timer *t = calloc(1, sizeof(*t));
	int ret;

	if (!t)
		return NULL;
	t->loop = loop;
	t->cb = cb;
	t->opaque = opaque;
	t->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	ret = t->fd < 0 ? -errno : loop_add_fd(loop, t->fd, EPOLLIN, timer_fired, t);
	if (!ret)
		return t;
	if (t->fd >= 0)
		close(t->fd);
	free(t);
	errno = -ret;
	return NULL;
}

void loop_timer_set(struct loop_timer *t, uint64_t deadline_ns)
{
	struct itimerspec its = {
		.it_value = {
			.tv_sec = deadline_ns / 1000000000,
			.tv_nsec = deadline_ns % 1000000000,
		},
	};

	timerfd_settime(t->fd, TFD_TIMER_ABSTIME, &its, NULL);
}

void loop_timer_destroy(struct loop_timer *t)
{
	loop_del_fd(t->loop, t->fd);
	close(t->fd);
	free(t);
}
