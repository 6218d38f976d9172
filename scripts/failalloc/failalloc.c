// SPDX-License-Identifier: GPL-2.0
/*
 * failalloc.c - fail one thread's nth allocation, on a kernel without fault injection.
 * One with kprobes on ftrace will do, Debian's for one. /sys/kernel/debug/fail-nth is written and
 * read as /proc/self/fail-nth is where there is one: N lets the Nth allocation of the writer fail,
 * slabs' and pages', but not copies from and to the process; it says what is left of N. One thread
 * uses it at a time. With load_nth:
 *	make -C /lib/modules/$(uname -r)/build M=$PWD/scripts/failalloc modules
 *	insmod scripts/failalloc/failalloc.ko
 *	FAIL_NTH=/sys/kernel/debug/fail-nth selftests/build/fuzz/load_nth minihv.ko
 */
#include <linux/debugfs.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/uaccess.h>

static struct task_struct *task;
static unsigned int nth;
static struct dentry *file;

/* What the probed function is replaced by, its result being set. */
void failalloc_return(void);
asm(".pushsection .text\n\t"
	".type failalloc_return, @function\n"
	"failalloc_return:\n\t"
	ASM_RET
	".size failalloc_return, . - failalloc_return\n\t"
	".popsection");

static int hit(struct pt_regs *regs, long result)
{
	if (current != task || in_hardirq() || in_serving_softirq() || !nth || --nth)
		return 0;
	regs_set_return_value(regs, result);
	instruction_pointer_set(regs, (unsigned long)failalloc_return);
	return 1;
}

static int hit_slab(struct kprobe *p, struct pt_regs *regs)
{
	return hit(regs, -ENOMEM);
}

static int hit_page(struct kprobe *p, struct pt_regs *regs)
{
	return hit(regs, true);
}

static struct kprobe slab = { .symbol_name = "should_failslab", .pre_handler = hit_slab };
static struct kprobe page = { .symbol_name = "should_fail_alloc_page", .pre_handler = hit_page };

static ssize_t nth_read(struct file *f, char __user *buf, size_t len, loff_t *pos)
{
	char text[16];

	return simple_read_from_buffer(buf, len, pos, text,
				       scnprintf(text, sizeof(text), "%u\n", nth));
}

static ssize_t nth_write(struct file *f, const char __user *buf, size_t len, loff_t *pos)
{
	unsigned int n;
	int r = kstrtouint_from_user(buf, len, 0, &n);

	if (r)
		return r;
	task = current;
	nth = n;
	return len;
}

static const struct file_operations nth_fops = {
	.owner = THIS_MODULE,
	.read = nth_read,
	.write = nth_write,
};

static int __init failalloc_init(void)
{
	int r = register_kprobe(&slab);

	if (r)
		return r;
	r = register_kprobe(&page);
	if (r) {
		unregister_kprobe(&slab);
		return r;
	}
	file = debugfs_create_file("fail-nth", 0600, NULL, NULL, &nth_fops);
	return 0;
}

static void __exit failalloc_exit(void)
{
	debugfs_remove(file);
	unregister_kprobe(&page);
	unregister_kprobe(&slab);
}

module_init(failalloc_init);
module_exit(failalloc_exit);

MODULE_DESCRIPTION("Fails a thread's nth allocation");
MODULE_LICENSE("GPL");
