// SPDX-License-Identifier: GPL-2.0
/*
 * The decoder's instruction lengths against Zydis, over random bytes and every opcode.
 * Entered from the command line: length [seed [count]].
 * No locks: one thread.
 * AMD APM vol. 3 "Instruction Encoding".
 */
#include <stdlib.h>
#include <Zydis/Zydis.h>
#include "../emulate.h"
#include "ktap.h"

static u64 seed = 1;

static u64 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static const struct machine {
	const char *name;
	enum emul_mode mode;
	ZydisMachineMode zmode;
	ZydisStackWidth width;
} machines[] = {
	{ "real", EMUL_MODE_REAL, ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16 },
	{ "prot16", EMUL_MODE_PROT16, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16 },
	{ "prot32", EMUL_MODE_PROT32, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32 },
	{ "long", EMUL_MODE_LONG, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64 },
};

struct tally {
	unsigned long valid, wrong_length, refused;
};

static void show(const struct machine *m, const u8 *b, int r, unsigned int got, unsigned int want)
{
	unsigned int i;

	printf("# %s:", m->name);
	for (i = 0; i < EMUL_MAX_INSN; i++)
		printf(" %02x", b[i]);
	printf(" result %d length %u, Zydis %u\n", r, got, want);
}

static void one(const struct machine *m, ZydisDecoder *dec, const u8 *b, struct tally *t)
{
	ZydisDecodedInstruction zi;
	struct emul_insn insn;
	bool amd = rnd() & 1;
	int r;

	ZydisDecoderEnableMode(dec, ZYDIS_DECODER_MODE_AMD_BRANCHES, amd);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(dec, NULL, b, EMUL_MAX_INSN, &zi)))
		return;
	if (zi.meta.isa_ext >= ZYDIS_ISA_EXT_KNC && zi.meta.isa_ext <= ZYDIS_ISA_EXT_KNCV)
		return;		/* Xeon Phi coprocessors: MVEX and another meaning for VEX */
	t->valid++;
	r = emul_decode(&insn, b, EMUL_MAX_INSN, m->mode, amd ? EMUL_DEC_BRANCH16 : 0);
	if (r == EMUL_OK && insn.length == zi.length)
		return;
	if (r == EMUL_OK)
		t->wrong_length++;
	else
		t->refused++;
	if (t->wrong_length + t->refused < 40)
		show(m, b, r, insn.length, zi.length);
}

/* Random bytes, half of the time behind prefixes and an escape so that every map is met. */
static void fill(u8 *b)
{
	static const u8 pfx[] = { 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x64, 0x48, 0x41, 0x4f };
	static const u8 esc[][2] = { { 0x0f, 0x38 }, { 0x0f, 0x3a }, { 0xc4, 0xe1 }, { 0xc4, 0xe2 },
				     { 0xc4, 0xe3 }, { 0xc5, 0xf8 }, { 0x62, 0xf1 }, { 0x62, 0xf2 },
				     { 0x62, 0xf3 }, { 0x8f, 0xe8 }, { 0x8f, 0xe9 },
				     { 0x0f, 0x01 } };
	unsigned int i, n = 0;

	for (i = 0; i < EMUL_MAX_INSN; i++)
		b[i] = rnd();
	while (!(rnd() & 3) && n < 3)
		b[n++] = pfx[rnd() % sizeof(pfx)];
	switch (rnd() & 3) {
	case 0:
		b[n] = 0x0f;
		break;
	case 1:
		i = rnd() % 12;
		b[n] = esc[i][0];
		b[n + 1] = esc[i][1];
		break;
	}
}

/* An opcode behind its map's bytes, of which the first is their number, under each prefix. */
static void one_opcode(const struct machine *m, ZydisDecoder *dec, struct tally *t, const u8 *map,
		       u8 op, u8 modrm)
{
	static const u8 prefixes[] = { 0, 0x66, 0x67, 0xf2, 0xf3, 0x48, 0x2e };
	unsigned int p, n;
	u8 b[EMUL_MAX_INSN];

	for (p = 0; p < sizeof(prefixes); p++) {
		memset(b, 0x11, sizeof(b));
		n = 0;
		if (prefixes[p])
			b[n++] = prefixes[p];
		memcpy(b + n, map + 1, map[0]);
		n += map[0];
		b[n++] = op;
		b[n++] = modrm;
		one(m, dec, b, t);
	}
}

/* Each opcode of each map, each ModRM.reg, with memory and with a register, under each prefix. */
static void all_opcodes(const struct machine *m, ZydisDecoder *dec, struct tally *t)
{
	static const u8 maps[][5] = {
		{ 0 }, { 1, 0x0f }, { 2, 0x0f, 0x38 }, { 2, 0x0f, 0x3a }, { 2, 0xc5, 0xf8 },
		{ 3, 0xc4, 0xe1, 0x78 }, { 3, 0xc4, 0xe2, 0x79 }, { 3, 0xc4, 0xe3, 0x7d },
		{ 3, 0x8f, 0xe8, 0x78 }, { 3, 0x8f, 0xe9, 0x78 }, { 3, 0x8f, 0xea, 0x78 },
		{ 4, 0x62, 0xf1, 0x7c, 0x08 }, { 4, 0x62, 0xf2, 0x7d, 0x08 },
		{ 4, 0x62, 0xf3, 0x7d, 0x08 }, { 4, 0x62, 0xf5, 0x7c, 0x08 },
		{ 4, 0x62, 0xf6, 0x7d, 0x08 },
	};
	unsigned int map, op, reg, mod;

	for (map = 0; map < sizeof(maps) / sizeof(maps[0]); map++)
		for (op = 0; op < 256; op++)
			for (reg = 0; reg < 8; reg++)
				for (mod = 0; mod < 4; mod++)
					one_opcode(m, dec, t, maps[map], op,
						   mod << 6 | reg << 3 | (reg & 1 ? 4 : 3));
}

int main(int argc, char **argv)
{
	unsigned long count = 300000, i;
	unsigned int k;

	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0) | 1;
	if (argc > 2)
		count = strtoul(argv[2], NULL, 0);
	ktap_plan(sizeof(machines) / sizeof(machines[0]));
	for (k = 0; k < sizeof(machines) / sizeof(machines[0]); k++) {
		struct tally t = { 0 };
		ZydisDecoder dec;
		u8 b[EMUL_MAX_INSN];

		ZydisDecoderInit(&dec, machines[k].zmode, machines[k].width);
		all_opcodes(&machines[k], &dec, &t);
		for (i = 0; i < count; i++) {
			fill(b);
			one(&machines[k], &dec, b, &t);
		}
		printf("# %s: %lu instructions, %lu of another length, %lu refused\n",
		       machines[k].name, t.valid, t.wrong_length, t.refused);
		ktap_result(t.valid > count / 4 && !t.wrong_length && !t.refused, machines[k].name);
	}
	return ktap_exit();
}
