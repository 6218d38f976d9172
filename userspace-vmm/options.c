// SPDX-License-Identifier: GPL-2.0
/*
 * The command line: one table from which it is parsed and explained.
 * Entered from main().
 * No locks.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"
#include "options.h"

/* The leak checker stops threads by system calls that no filter of ours would list. */
#ifdef __SANITIZE_ADDRESS__
#define SANDBOX_DEFAULT	false
#else
#define SANDBOX_DEFAULT	true
#endif

#define MEMORY_MIN	(16ull << 20)
#define MEMORY_MAX	(1ull << 40)

enum {
	OPT_KERNEL = 256, OPT_INITRD, OPT_CMDLINE, OPT_MEMORY, OPT_CPUS, OPT_DISK, OPT_NET,
	OPT_RNG, OPT_NO_RNG, OPT_CONSOLE, OPT_DEVICE, OPT_SANDBOX, OPT_USER, OPT_HELP,
};

static const struct {
	const char *name, *arg, *help;
	int val;
} table[] = {
	{ "kernel", "FILE", "kernel: a bzImage (x86-64) or an ELF file with a PVH entry; required",
	  OPT_KERNEL },
	{ "initrd", "FILE", "initial RAM disk", OPT_INITRD },
	{ "cmdline", "STRING", "kernel command line; default \"console=ttyS0 panic=-1\", or hvc0\n"
	  "with --console virtio", OPT_CMDLINE },
	{ "memory", "SIZE", "guest memory, suffix K, M, G or T; default 512M", OPT_MEMORY },
	{ "cpus", "N", "virtual CPUs, 1 to 64; default 1", OPT_CPUS },
	{ "disk", "FILE[,ro]", "a raw image or block device as virtio disk; may be repeated:\n"
	  "/dev/vda, /dev/vdb, ...", OPT_DISK },
	{ "net", "KIND[,OPTION]...", "a virtio network card; may be repeated. \"user\": user-mode\n"
	  "network, the host is 10.0.2.2; \"tap=NAME\": an existing tap\n"
	  "interface; default none. Options: mac=ADDR; with \"user\",\n"
	  "hostfwd=[tcp|udp]:[ADDR]:PORT-[GUEST]:PORT, a port of the host\n"
	  "(on all its addresses, or on ADDR) that leads to one of the guest\n"
	  "(10.0.2.15); may be repeated", OPT_NET },
	{ "rng", NULL, "a virtio entropy source (the default)", OPT_RNG },
	{ "no-rng", NULL, "none", OPT_NO_RNG },
	{ "console", "KIND", "which device has the terminal: \"serial\" (COM1, the default) or\n"
	  "\"virtio\" (hvc0)", OPT_CONSOLE },
	{ "device", "FILE", "the hypervisor: /dev/minihv (the default) or /dev/kvm", OPT_DEVICE },
	{ "sandbox", "on|off", "seccomp filter and no new privileges once set up; default on",
	  OPT_SANDBOX },
	{ "user", "NAME", "started by root: become this user once set up", OPT_USER },
	{ "help", NULL, "this text", OPT_HELP },
};

#define OPTIONS (sizeof(table) / sizeof(table[0]))

static void run_help(void)
{
	size_t i;

	puts("usage: minivmm run --kernel FILE [option]...\n\n"
	     "Boot a Linux kernel in a virtual machine; its console is this terminal.\n");
	for (i = 0; i < OPTIONS; i++) {
		const char *line = table[i].help, *end;
		char left[64];

		snprintf(left, sizeof(left), "--%s%s%s", table[i].name,
			 table[i].arg ? " " : "", table[i].arg ? table[i].arg : "");
		for (; line; line = end ? end + 1 : NULL, left[0] = 0) {
			end = strchr(line, '\n');
			printf("  %-24s %.*s\n", left, end ? (int)(end - line) : (int)strlen(line),
			       line);
		}
	}
	puts("\nKeys on a terminal: Ctrl-A x quits, Ctrl-A p presses the power button, Ctrl-A h\n"
	     "explains. SIGTERM presses the power button, and quits after 30 seconds or when it comes\n"
	     "again.\n\n"
	     "Exit status: 0 the guest powered off, or the user quit; 1 the host failed; 2 a wrong\n"
	     "option or unusable file; 3 the guest panicked (it needs the pvpanic driver to say\n"
	     "so); 4 the guest crashed (triple fault and the like); 5 the guest reset itself.");
}

void options_help(void)
{
	puts("usage: minivmm run --kernel FILE [option]...   boot a guest\n"
	     "       minivmm run --help                      explain the options\n"
	     "       minivmm --version\n"
	     "       minivmm --help\n\n"
	     "minivmm boots Linux kernels on /dev/minihv, or on /dev/kvm with --device /dev/kvm.\n\n"
	     "Example:\n"
	     "  minivmm run --kernel vmlinuz --initrd initrd.img --cmdline console=ttyS0 \\\n"
	     "          --memory 512M --cpus 2 --disk disk.img --net user");
}

bool parse_size(const char *s, uint64_t *bytes)
{
	static const char suffixes[] = "KMGT";
	unsigned long long val;
	const char *suffix;
	unsigned int shift = 0;
	char *end;

	if (*s < '0' || *s > '9')
		return false;		/* strtoull() takes signs and blanks */
	errno = 0;
	val = strtoull(s, &end, 10);
	if (errno || !val)
		return false;
	if (*end) {
		suffix = strchr(suffixes, *end & ~0x20);
		if (!suffix || !*suffix || end[1])
			return false;
		shift = (suffix - suffixes + 1) * 10;
	}
	if (val > UINT64_MAX >> shift)
		return false;
	*bytes = (uint64_t)val << shift;
	return true;
}

bool parse_number(const char *s, unsigned int min, unsigned int max, unsigned int *out)
{
	unsigned long val;
	char *end;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	val = strtoul(s, &end, 10);
	if (errno || *end || val < min || val > max)
		return false;
	*out = val;
	return true;
}

static void set_memory(struct machine_config *cfg, const char *arg)
{
	if (!parse_size(arg, &cfg->memory))
		die("--memory %s: not a size such as 512M or 2G", arg);
	if (cfg->memory < MEMORY_MIN || cfg->memory > MEMORY_MAX || cfg->memory % 4096)
		die("--memory %s: must be 16M to 1T, and whole pages", arg);
}

/* The option is ",ro" or ",rw" at the end; any other comma belongs to the file's name. */
static void add_disk(struct machine_config *cfg, char *arg)
{
	size_t len = strlen(arg);
	bool ro = len > 3 && !strcmp(arg + len - 3, ",ro");
	bool rw = len > 3 && !strcmp(arg + len - 3, ",rw");

	if (cfg->nr_disks == DISKS_MAX)
		die("--disk %s: more than %d disks", arg, DISKS_MAX);
	if (ro || rw)
		arg[len - 3] = 0;
	cfg->disk[cfg->nr_disks++] = (struct disk_option){ .path = arg, .readonly = ro };
}

static bool valid_mac(const char *s)
{
	static const char form[] = "xx:xx:xx:xx:xx:xx";
	size_t i;

	if (strlen(s) != sizeof(form) - 1)
		return false;
	for (i = 0; i < sizeof(form) - 1; i++) {
		if (form[i] == ':' ? s[i] != ':' : !strchr("0123456789abcdefABCDEF", s[i]))
			return false;
	}
	return s[strspn(s, "0:")] &&		/* no address at all */
	       strtoul((char[]){ s[0], s[1], 0 }, NULL, 16) % 2 == 0;	/* not multicast */
}

/* "ADDR:PORT" at @s, where ADDR may be empty. Return: false if it is not that */
static bool parse_endpoint(char *s, const char *none, struct in_addr *addr, uint16_t *port)
{
	char *colon = strchr(s, ':');
	unsigned int number;

	if (!colon || !parse_number(colon + 1, 1, 65535, &number))
		return false;
	*colon = 0;
	*port = number;
	return inet_pton(AF_INET, colon == s ? none : s, addr) == 1;
}

bool parse_forward(const char *arg, struct net_forward *fwd)
{
	char copy[64], *rest = copy, *protocol, *host;

	*fwd = (struct net_forward){ .text = arg };
	if (strlen(arg) >= sizeof(copy))
		return false;
	strcpy(copy, arg);
	protocol = strsep(&rest, ":");
	host = strsep(&rest, "-");
	fwd->udp = !strcmp(protocol, "udp");
	if (!rest || (*protocol && !fwd->udp && strcmp(protocol, "tcp")))
		return false;
	return parse_endpoint(host, "0.0.0.0", &fwd->host, &fwd->host_port) &&
	       parse_endpoint(rest, "10.0.2.15", &fwd->guest, &fwd->guest_port);
}

static void add_forward(struct net_option *net, const char *arg)
{
	if (net->nr_forwards == FORWARDS_MAX)
		die("--net user: more than %d times hostfwd=", FORWARDS_MAX);
	if (!parse_forward(arg, &net->forward[net->nr_forwards++]))
		die("--net user: hostfwd=%s: not of the form tcp:127.0.0.1:8080-10.0.2.15:80", arg);
}

static void set_mac(struct net_option *net, const char *kind, const char *arg)
{
	if (!valid_mac(arg))
		die("--net %s: mac=%s is not a station's address like 52:54:00:12:34:56", kind,
		    arg);
	net->mac = arg;
}

static void add_net(struct machine_config *cfg, char *arg)
{
	struct net_option *net = &cfg->net[cfg->nr_nets];
	char *kind = strsep(&arg, ","), *word;

	if (!strcmp(kind, "none") && !arg)
		return;
	if (cfg->nr_nets == NETS_MAX)
		die("--net %s: more than %d network cards", kind, NETS_MAX);
	*net = (struct net_option){ .kind = NET_USER };
	if (!strncmp(kind, "tap=", 4) && kind[4]) {
		net->kind = NET_TAP;
		net->ifname = kind + 4;
	} else if (strcmp(kind, "user")) {
		die("--net %s: neither \"user\" nor \"tap=NAME\"", kind);
	}
	while ((word = strsep(&arg, ","))) {
		if (!strncmp(word, "mac=", 4))
			set_mac(net, kind, word + 4);
		else if (!strncmp(word, "hostfwd=", 8) && net->kind == NET_USER)
			add_forward(net, word + 8);
		else
			die("--net %s: does not know \"%s\"", kind, word);
	}
	cfg->nr_nets++;
}

static bool on_off(const char *option, const char *arg)
{
	if (strcmp(arg, "on") && strcmp(arg, "off"))
		die("%s %s: neither \"on\" nor \"off\"", option, arg);
	return !strcmp(arg, "on");
}

static void set_console(struct machine_config *cfg, const char *arg)
{
	if (!strcmp(arg, "serial"))
		cfg->console = CONSOLE_SERIAL;
	else if (!strcmp(arg, "virtio"))
		cfg->console = CONSOLE_VIRTIO;
	else
		die("--console %s: neither \"serial\" nor \"virtio\"", arg);
}

static void apply(struct machine_config *cfg, int opt, char *arg)
{
	switch (opt) {
	case OPT_KERNEL:
		cfg->kernel = arg;
		break;
	case OPT_INITRD:
		cfg->initrd = arg;
		break;
	case OPT_CMDLINE:
		cfg->cmdline = arg;
		break;
	case OPT_MEMORY:
		set_memory(cfg, arg);
		break;
	case OPT_CPUS:
		if (!parse_number(arg, 1, CPUS_MAX, &cfg->cpus))
			die("--cpus %s: not a number from 1 to %d", arg, CPUS_MAX);
		break;
	case OPT_DISK:
		add_disk(cfg, arg);
		break;
	case OPT_NET:
		add_net(cfg, arg);
		break;
	case OPT_RNG:
	case OPT_NO_RNG:
		cfg->rng = opt == OPT_RNG;
		break;
	case OPT_CONSOLE:
		set_console(cfg, arg);
		break;
	case OPT_DEVICE:
		cfg->device = arg;
		break;
	case OPT_SANDBOX:
		cfg->sandbox = on_off("--sandbox", arg);
		break;
	case OPT_USER:
		cfg->user = arg;
		break;
	case OPT_HELP:
		run_help();
		exit(EXIT_POWEROFF);
	}
}

/* What getopt_long() does not take; of a single dash's letters it has not moved past the word. */
__attribute__((noreturn))
static void unknown(const char *word)
{
	if (optopt >= OPT_KERNEL)
		die("%s: takes no value; see minivmm run --help", word);
	if (optopt)
		die("-%c: unknown option; see minivmm run --help", optopt);
	die("%s: unknown option; see minivmm run --help", word);
}

void options_parse(int argc, char **argv, struct machine_config *cfg)
{
	struct option longopts[OPTIONS + 1] = { 0 };
	size_t i;
	int opt;

	*cfg = (struct machine_config){
		.device = "/dev/minihv", .memory = 512ull << 20, .cpus = 1, .rng = true,
		.console = CONSOLE_SERIAL, .sandbox = SANDBOX_DEFAULT,
	};
	for (i = 0; i < OPTIONS; i++) {
		longopts[i] = (struct option){
			.name = table[i].name, .has_arg = !!table[i].arg, .val = table[i].val,
		};
	}
	opterr = 0;			/* the messages are ours: one line, and in our form */
	while ((opt = getopt_long(argc, argv, ":", longopts, NULL)) != -1) {
		if (opt == ':')
			die("%s: needs a value; see minivmm run --help", argv[optind - 1]);
		if (opt == '?')
			unknown(argv[optind - 1]);
		apply(cfg, opt, optarg);
	}
	if (optind < argc)
		die("%s: unexpected argument; see minivmm run --help", argv[optind]);
	if (!cfg->kernel)
		die("--kernel is missing; see minivmm run --help");
	if (!cfg->cmdline)
		cfg->cmdline = cfg->console == CONSOLE_SERIAL ? "console=ttyS0 panic=-1" :
								"console=hvc0 panic=-1";
}
