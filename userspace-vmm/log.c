// SPDX-License-Identifier: GPL-2.0
/*
 * Messages to the user.
 * Entered from everywhere.
 * No locks: a line is composed first and leaves in one write(2).
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

/* A raw terminal does not return the carriage by itself, so the line does. */
static void say(const char *fmt, va_list ap)
{
	static const char prefix[] = "minivmm: ";
	char line[1024];
	size_t pos = sizeof(prefix) - 1;
	int n;

	memcpy(line, prefix, pos);
	n = vsnprintf(line + pos, sizeof(line) - pos - 2, fmt, ap);
	if (n < 0)
		return;
	pos += (size_t)n < sizeof(line) - pos - 2 ? (size_t)n : sizeof(line) - pos - 3;
	if (isatty(STDERR_FILENO))
		line[pos++] = '\r';
	line[pos++] = '\n';
	if (write(STDERR_FILENO, line, pos) < 0)
		return;
}

void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	exit(EXIT_USAGE);
}

void complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}
