/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The command line.
 * Entered from main().
 * No locks, no state: the parsers are tested apart.
 */
#ifndef MINIVMM_OPTIONS_H
#define MINIVMM_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct machine_config;
struct net_forward;

/**
 * parse_size() - "512M", "2G", "1024K", "65536": a size in bytes
 *
 * Return: false for anything else, for 0 and for what does not fit 64 bits.
 */
bool parse_size(const char *s, uint64_t *bytes);

/** parse_number() - a decimal number in [@min, @max]. Return: false for anything else */
bool parse_number(const char *s, unsigned int min, unsigned int max, unsigned int *out);

/**
 * parse_forward() - "[tcp|udp]:[ADDR]:PORT-[GUEST]:PORT": a forwarded port, in QEMU's form
 *
 * Without a protocol it is TCP, without ADDR all addresses of the host, without GUEST 10.0.2.15.
 * @fwd keeps @arg, for messages. Return: false for anything else.
 */
bool parse_forward(const char *arg, struct net_forward *fwd);

/** options_parse() - the arguments of "minivmm run" to a config. Dies; --help prints and exits */
void options_parse(int argc, char **argv, struct machine_config *cfg);

/** options_help() - "minivmm --help" */
void options_help(void);

#endif
