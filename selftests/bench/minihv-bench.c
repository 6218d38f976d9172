// SPDX-License-Identifier: GPL-2.0
#include "vm.h"
TEST(x){}
