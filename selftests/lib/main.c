// SPDX-License-Identifier: GPL-2.0
/*
 * main.c - main() of the tests; the benchmark has its own.
 */
#include "test.h"

int main(int argc, char **argv)
{
	return test_main(argc, argv);
}
