// SPDX-License-Identifier: GPL-2.0
/*
 * minivmm: the command.
 * Entered from the shell.
 * No locks.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "machine.h"
#include "options.h"

#ifndef MINIVMM_VERSION
#define MINIVMM_VERSION "0.1"
#endif

static int command_run(int argc, char **argv)
{
	static struct machine machine;
	int status;

	options_parse(argc, argv, &machine.cfg);
	machine_create(&machine);
	status = machine_run(&machine);
	machine_destroy(&machine);
	return status;
}

/* What is closed would be given to the next file opened, and then be taken for the terminal. */
static void open_standard_fds(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
		if (fd < 0)
			_exit(EXIT_HOST);	/* nobody to tell */
	} while (fd <= STDERR_FILENO);
	close(fd);
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";

	open_standard_fds();
	if (!strcmp(command, "run"))
		return command_run(argc - 1, argv + 1);
	if (!strcmp(command, "--version")) {
		puts("minivmm " MINIVMM_VERSION);
		return 0;
	}
	if (!strcmp(command, "--help") || !strcmp(command, "-h") || !strcmp(command, "help")) {
		options_help();
		return 0;
	}
	if (!*command)
		die("a command is missing; see minivmm --help");
	die("%s: unknown command; see minivmm --help", command);
}
