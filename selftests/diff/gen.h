/* SPDX-License-Identifier: GPL-2.0 */
/*
 * gen.h - makes the programs that the oracle runs.
 */
#ifndef MINIHV_DIFF_GEN_H
#define MINIHV_DIFF_GEN_H

#include "modes.h"

/**
 * make_program() - @n random instructions at @at, then OUT to port 0xf5, then HLTs; the bytes are
 * a line of the transcript. RFLAGS that are undefined after them are in d->flags_hidden.
 */
void make_program(struct diff *d, u64 at, unsigned int n);

#endif
