// SPDX-License-Identifier: GPL-2.0
/*
 * What lib/power-init needs and busybox has not, as one static program:
 *   once DEVICE			a VM, a vCPU, a guest that runs to its end
 *   hold DEVICE FILE		a guest that runs on and on; FILE gets a byte for each round
 *   svm-off			is EFER.SVME clear on every CPU?
 *   load KERNEL INITRD CMDLINE FLAGS	kexec_file_load(); flag 2: the kernel for a crash
 *   kexec				go there
 * No locks: one thread.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MSR_EFER	0xc0000080
#define EFER_SVME	(1u << 12)
#define CODE		0x1000

/* 16 bits: count in AX, and tell it to port 0x10. */
static const unsigned char code[] = { 0x40, 0xe7, 0x10, 0xeb, 0xfb };

static void must(long r, const char *what)
{
	if (r >= 0)
		return;
	perror(what);
	exit(1);
}

static struct kvm_run *guest(const char *device, int *vcpu)
{
	struct kvm_userspace_memory_region region = { .memory_size = 0x10000 };
	struct kvm_regs regs = { .rip = CODE, .rflags = 2 };
	struct kvm_sregs sregs;
	struct kvm_run *run;
	int dev, vm;
	char *ram;

	dev = open(device, O_RDWR);
	must(dev, device);
	vm = ioctl(dev, KVM_CREATE_VM, 0);
	must(vm, "KVM_CREATE_VM");
	ram = mmap(NULL, region.memory_size, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(ram + CODE, code, sizeof(code));
	region.userspace_addr = (unsigned long)ram;
	must(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
	*vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	must(*vcpu, "KVM_CREATE_VCPU");
	run = mmap(NULL, ioctl(dev, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE,
		   MAP_SHARED, *vcpu, 0);
	must(ioctl(*vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	must(ioctl(*vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
	must(ioctl(*vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
	return run;
}

/* The guest is right if it counts on where it was. */
static void round_of(struct kvm_run *run, int vcpu, unsigned int count)
{
	unsigned short *said;

	must(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
	said = (void *)((char *)run + run->io.data_offset);
	if (run->exit_reason == KVM_EXIT_IO && run->io.port == 0x10 && *said == (count & 0xffff))
		return;
	fprintf(stderr, "exit %u, port %x, round %u: %u\n", run->exit_reason, run->io.port, count,
		*said);
	exit(1);
}

static int once(const char *device)
{
	int vcpu;
	struct kvm_run *run = guest(device, &vcpu);

	for (unsigned int i = 1; i <= 100; i++)
		round_of(run, vcpu, i);
	return 0;
}

static void hold(const char *device, const char *file)
{
	int vcpu, out;
	struct kvm_run *run = guest(device, &vcpu);

	out = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	must(out, file);
	for (unsigned int i = 1;; i++) {
		round_of(run, vcpu, i);
		must(write(out, ".", 1), file);
		usleep(10000);
	}
}

static int svm_off(void)
{
	char path[32];
	int msr;

	for (int cpu = 0; cpu < sysconf(_SC_NPROCESSORS_ONLN); cpu++) {
		unsigned long long efer;

		snprintf(path, sizeof(path), "/dev/cpu/%d/msr", cpu);
		msr = open(path, O_RDONLY);
		must(msr, path);
		must(pread(msr, &efer, sizeof(efer), MSR_EFER), "EFER");
		close(msr);
		if (efer & EFER_SVME)
			return 1;
	}
	return 0;
}

static int load(char **arg)
{
	int kernel = open(arg[0], O_RDONLY), initrd = open(arg[1], O_RDONLY);

	must(kernel, arg[0]);
	must(initrd, arg[1]);
	must(syscall(SYS_kexec_file_load, kernel, initrd, strlen(arg[2]) + 1, arg[2], atol(arg[3])),
	     "kexec_file_load");
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "once"))
		return once(argv[2]);
	if (argc == 4 && !strcmp(argv[1], "hold"))
		hold(argv[2], argv[3]);
	if (argc == 2 && !strcmp(argv[1], "svm-off"))
		return svm_off();
	if (argc == 6 && !strcmp(argv[1], "load"))
		return load(argv + 2);
	if (argc == 2 && !strcmp(argv[1], "kexec"))
		must(syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
			     LINUX_REBOOT_CMD_KEXEC, NULL), "kexec");
	return 2;
}
