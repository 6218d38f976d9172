# SPDX-License-Identifier: GPL-2.0
#
# minihv: the kernel module, the userspace VMM and the tests. `make help` lists the targets.

# The kernel to build the module for: the running one, else the newest whose headers are installed.
newest := $(shell ls -d /lib/modules/*/build 2>/dev/null | sort -V | tail -n 1)
KDIR ?= $(or $(wildcard /lib/modules/$(shell uname -r)/build),$(newest))
KVER = $(shell sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' $(KDIR)/include/generated/utsrelease.h 2>/dev/null)

PREFIX ?= /usr/local
DESTDIR ?=
MANDIR ?= $(PREFIX)/share/man
UDEVDIR ?= /usr/lib/udev/rules.d

.PHONY: all
all: module vmm selftests

# Kbuild puts what it makes beside the sources. Each kernel's build gets a tree of links of its own,
# build/KVER/, so that builds for several kernels do not overwrite each other. (Names of kernels
# and sources hold no blanks.) module/minihv.ko is the last one built, unless COPY=n.
COPY ?= y
.PHONY: module
module:
	@test -n "$(KVER)" || { echo "make: no kernel headers at '$(KDIR)': install" \
		"linux-headers-amd64, or give KDIR=" >&2; exit 1; }
	@scripts/lib/link-tree build/$(KVER) module uapi
	$(MAKE) -C $(KDIR) M=$(CURDIR)/build/$(KVER)/module $(KBUILD_ARGS) modules
	@test "$(COPY)" != y || cp build/$(KVER)/module/minihv.ko module/minihv.ko

# The unit tests' module, for a kernel with CONFIG_KUNIT: a build of the same sources in another tree.
.PHONY: kunit
kunit:
	@grep -q '^CONFIG_KUNIT=' $(KDIR)/include/config/auto.conf 2>/dev/null || { echo "make: the kernel at" \
		"'$(KDIR)' has no KUnit: KDIR=\$$(scripts/lean-kernel)/kdir has" >&2; exit 1; }
	@scripts/lib/link-tree build/$(KVER)/kunit module uapi
	$(MAKE) -C $(KDIR) M=$(CURDIR)/build/$(KVER)/kunit/module MHV_KUNIT=y modules

.PHONY: vmm
vmm:
	$(MAKE) -C userspace-vmm

.PHONY: selftests
selftests:
	$(MAKE) -C selftests

.PHONY: demo
demo:
	@scripts/demo $(if $(filter vmx,$(BACKEND)),--vmx,$(if $(INTERACTIVE),--interactive))

.PHONY: check
check:
	@scripts/check $(PHASES)

.PHONY: check-debug
check-debug:
	@scripts/check-debug $(TESTS)

# TARGET: see scripts/fuzz --help. Open-ended unless SECONDS= is given.
.PHONY: fuzz
fuzz:
	@scripts/fuzz $(TARGET) $(SECONDS) $(SEED)

.PHONY: stress
stress:
	@scripts/stress $(or $(SECONDS),3600)

.PHONY: bench
bench:
	@scripts/bench $(BACKEND)

.PHONY: diff-fuzz
diff-fuzz:
	@scripts/diff-fuzz $(KINDS)

.PHONY: kernel-selftests
kernel-selftests:
	@scripts/kernel-selftests $(ARGS)

.PHONY: packages
packages:
	@scripts/packages all

.PHONY: sparse
sparse:
	@scripts/static-checks sparse

.PHONY: checkpatch
checkpatch:
	@scripts/static-checks checkpatch

.PHONY: static-checks
static-checks:
	@scripts/static-checks

.PHONY: docs
docs:
	@scripts/static-checks docs

.PHONY: install
install: module vmm
	install -D -m 644 build/$(KVER)/module/minihv.ko \
		$(DESTDIR)/lib/modules/$(KVER)/extra/minihv.ko
	install -D -m 755 userspace-vmm/minivmm $(DESTDIR)$(PREFIX)/bin/minivmm
	install -D -m 644 scripts/90-minihv.rules $(DESTDIR)$(UDEVDIR)/90-minihv.rules
	scripts/lib/man-pages $(DESTDIR)$(MANDIR)
	$(if $(DESTDIR),,depmod $(KVER))

.PHONY: uninstall
uninstall:
	rm -f $(DESTDIR)/lib/modules/$(KVER)/extra/minihv.ko $(DESTDIR)$(PREFIX)/bin/minivmm \
		$(DESTDIR)$(UDEVDIR)/90-minihv.rules $(DESTDIR)$(MANDIR)/man1/minivmm.1 \
		$(DESTDIR)$(MANDIR)/man4/minihv.4
	$(if $(DESTDIR),,depmod $(KVER))

.PHONY: dkms-install
dkms-install:
	scripts/lib/dkms-source /usr/src
	dkms install --force minihv/$(shell sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' dkms.conf) -k $(KVER)

.PHONY: clean
clean:
	rm -rf build Documentation/_build
	find module \( -name '*.o' -o -name '*.ko' -o -name '*.mod' -o -name '*.mod.c' \
		-o -name '.*.cmd' -o -name '.*.d' -o -name modules.order -o -name Module.symvers \) \
		-delete
	$(MAKE) -C userspace-vmm clean
	$(MAKE) -C selftests clean
	$(MAKE) -C module/emul/test clean

.PHONY: help
help:
	@echo 'To try it (nothing else is needed on Debian 12; packages are installed as needed):'
	@echo '  make demo                a Debian guest on minihv, in a host with SVM made by QEMU'
	@echo '  make demo INTERACTIVE=1  the same, and leaves you in the shell of the guest'
	@echo '  make demo BACKEND=vmx    a small guest, in a host with VMX made by Bochs'
	@echo '  make check               every test; PHASES="build selftests ..." for some of them'
	@echo '  make kernel-selftests    KVM selftests of Linux itself on KVM and minihv; ARGS="--quick"'
	@echo '  make bench               host instructions for each exit, beside those of KVM; BACKEND=vmx'
	@echo '  make check-debug         the tests on a kernel with KASAN, lockdep, kmemleak; TESTS="..."'
	@echo '  make fuzz TARGET=...     hostile guests, ioctls, device models: scripts/fuzz --help'
	@echo '  make stress              the lives of VMs and of the module, for an hour'
	@echo '  make diff-fuzz           new random sequences on minihv and KVM, compared, for 10 minutes'
	@echo
	@echo 'To build (KDIR=$(KDIR)):'
	@echo '  make                     the module, minivmm and the tests'
	@echo '  make module              module/minihv.ko; KDIR=... for another kernel'
	@echo '  make vmm                 userspace-vmm/minivmm'
	@echo '  make selftests           the test programs'
	@echo '  make docs                the documentation as HTML, in Documentation/_build'
	@echo '  make kunit KDIR=...      the unit tests of the module, for a kernel with KUnit'
	@echo '  make clean               remove everything built'
	@echo
	@echo 'To install (as root; PREFIX=$(PREFIX), DESTDIR= as usual):'
	@echo '  make install             module, minivmm, manual pages, udev rule'
	@echo '  make uninstall           remove them'
	@echo '  make dkms-install        the module by DKMS, rebuilt with each new kernel'
	@echo '  make packages            install the Debian packages that all of this needs'
	@echo
	@echo 'To check the sources:'
	@echo '  make checkpatch          the style of the kernel, by its own checkpatch.pl --strict'
	@echo '  make sparse              address spaces, endianness, contexts'
	@echo '  make static-checks       both, and layers, licence lines, scripts, documentation'
