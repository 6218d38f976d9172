// SPDX-License-Identifier: GPL-2.0
/*
 * A crash, or a reset without notice: the hardware goes off on every CPU, or
 * the next kernel finds CPUs that INIT does not reach.
 * Entered from the kernel, by an NMI perhaps, through the one callback that it has for this.
 * The mutex guards who has the callback; the callback itself takes no lock.
 * Intel SDM volume 3, "Restrictions on VMX Operation".
 *
 * KVM warns if it finds the callback taken when it is loaded, so it gets it.
 * What it does then switches our hardware off as well.
 */
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <asm/reboot.h>

#include "backend.h"

#ifdef MHV_EMERGENCY_CALLBACK
static DEFINE_MUTEX(emergency_lock);
static bool registered;

static void emergency(void)
{
	mhv_backend->cpu_off();
}

static void want_callback(bool want)
{
	mutex_lock(&emergency_lock);
	if (want && !registered)
		cpu_emergency_register_virt_callback(emergency);
	else if (!want && registered)
		cpu_emergency_unregister_virt_callback(emergency);
	registered = want;
	mutex_unlock(&emergency_lock);
}

/* Before KVM's init, and after its exit. */
static int module_changes(struct notifier_block *nb, unsigned long action, void *data)
{
	const struct module *mod = data;

	if (strcmp(mod->name, "kvm_intel") && strcmp(mod->name, "kvm_amd"))
		return NOTIFY_DONE;
	if (action == MODULE_STATE_COMING)
		want_callback(false);
	else if (action == MODULE_STATE_GOING)
		want_callback(true);
	return NOTIFY_OK;
}

static struct notifier_block module_notifier = {
	.notifier_call = module_changes,
};

static bool kvm_is_there(void)
{
	if (!__symbol_get("kvm_rebooting"))
		return false;
	__symbol_put("kvm_rebooting");
	return true;
}

/**
 * mhv_emergency_init() - be called when the machine crashes
 *
 * Context: module load, the backend is chosen; may sleep.
 * Return: 0 or -errno.
 */
int mhv_emergency_init(void)
{
	int r = register_module_notifier(&module_notifier);

	if (!r && !kvm_is_there())
		want_callback(true);
	return r;
}

/**
 * mhv_emergency_exit() - not any more
 *
 * Context: module unload; the hardware is off.
 */
void mhv_emergency_exit(void)
{
	unregister_module_notifier(&module_notifier);
	want_callback(false);
}
#else
/* Older kernels do the same for all, without asking. */
int mhv_emergency_init(void)
{
	return 0;
}

void mhv_emergency_exit(void)
{
}
#endif
