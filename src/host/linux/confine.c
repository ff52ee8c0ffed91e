/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/linux/confine.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bits.h"

enum { NOBODY = 65534 };

/* ---- Landlock ----------------------------------------------------------------------------- */

/* As of ABI 6; Debian 12's headers end before. linux/landlock.h has the numbers. */
struct ruleset {
	u64 fs, net, scoped;
};
enum {
	LANDLOCK_VERSION = 1,
	FS_ABI1 = 0x1fff,
	FS_REFER = 1 << 13,     /* ABI 2 */
	FS_TRUNCATE = 1 << 14,  /* ABI 3 */
	FS_IOCTL_DEV = 1 << 15, /* ABI 5 */
	NET_BIND_TCP = 1,       /* ABI 4 */
	SCOPE_ALL = 3,          /* ABI 6: abstract Unix sockets, signals */
};

static long landlock_abi(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION);
}

static struct ruleset everything(long abi)
{
	struct ruleset r = {.fs = FS_ABI1};

	r.fs |= abi >= 2 ? FS_REFER : 0;
	r.fs |= abi >= 3 ? FS_TRUNCATE : 0;
	r.fs |= abi >= 5 ? FS_IOCTL_DEV : 0;
	r.net = abi >= 4 ? NET_BIND_TCP : 0;
	r.scoped = abi >= 6 ? SCOPE_ALL : 0;
	return r;
}

/* Older kernels refuse a structure with unknown parts, so each gets what it knows. */
static size_t ruleset_size(long abi)
{
	return abi >= 6 ? sizeof(struct ruleset) : abi >= 4 ? 2 * sizeof(u64) : sizeof(u64);
}

/* A kernel without Landlock leaves it to seccomp, which allows no call that takes a path. */
static int leave_files(void)
{
	long abi = landlock_abi();
	struct ruleset r = everything(abi);
	long fd, rc;

	if (abi < 1)
		return 0;
	fd = syscall(SYS_landlock_create_ruleset, &r, ruleset_size(abi), 0);
	if (fd < 0)
		return -errno;
	rc = syscall(SYS_landlock_restrict_self, fd, 0) ? -errno : 0;
	close((int)fd);
	return (int)rc;
}

/* ---- Privileges --------------------------------------------------------------------------- */

/*
 * In a user namespace that maps one user, root can be nobody else; it is that user outside, and
 * what is left of root here goes with the capabilities.
 */
static int leave_root(void)
{
	if (geteuid() != 0)
		return 0;
	if (setgroups(0, NULL) && errno != EPERM)
		return -errno;
	if (setresgid(NOBODY, NOBODY, NOBODY) && errno != EINVAL)
		return -errno;
	if (setresuid(NOBODY, NOBODY, NOBODY) && errno != EINVAL)
		return -errno;
	return 0;
}

static void drop_bounding_set(void)
{
	for (int cap = 0; !prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); cap++)
		;
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
		return -errno;
	return syscall(SYS_capset, &head, none) ? -errno : 0;
}

static int limit(int what, u64 value)
{
	struct rlimit old, r = {.rlim_cur = value, .rlim_max = value};

	if (getrlimit((__rlimit_resource_t)what, &old))
		return -errno;
	if (value > old.rlim_max)
		r.rlim_cur = r.rlim_max = old.rlim_max;
	return setrlimit((__rlimit_resource_t)what, &r) ? -errno : 0;
}

/* Sanitizers reserve terabytes of address space. */
#if defined(__SANITIZE_ADDRESS__)
enum { LIMITS_MEMORY = 0 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
enum { LIMITS_MEMORY = 0 };
#else
enum { LIMITS_MEMORY = 1 };
#endif
#else
enum { LIMITS_MEMORY = 1 };
#endif

static int set_limits(const struct confine_profile *p)
{
	int rc = limit(RLIMIT_NOFILE, p->fds_max);

	if (!rc && LIMITS_MEMORY)
		rc = limit(RLIMIT_AS, p->memory_max);
	if (!rc)
		rc = limit(RLIMIT_CORE, 0);
	if (!rc)
		rc = limit(RLIMIT_FSIZE, 0);
	return rc ? rc : limit(RLIMIT_NPROC, 0);
}

/* ---- System calls ------------------------------------------------------------------------- */

static u32 action(const struct confine_rule *r)
{
	return r->verdict == CONFINE_ALLOW ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM);
}

static int add_rule(scmp_filter_ctx filter, const struct confine_rule *r)
{
	struct scmp_arg_cmp cmp[ARRAY_LEN(r->when)];
	int call = seccomp_syscall_resolve_name(r->call);
	unsigned n = 0;

	for (; n < ARRAY_LEN(r->when) && r->when[n].compare; n++) {
		const struct confine_condition *c = &r->when[n];

		cmp[n] = c->compare == CONFINE_EQUAL
				 ? (struct scmp_arg_cmp){c->arg, SCMP_CMP_EQ, c->value, 0}
				 : (struct scmp_arg_cmp){c->arg, SCMP_CMP_MASKED_EQ, c->mask,
							 c->value};
	}
	if (call == __NR_SCMP_ERROR)
		return -EINVAL;
	return seccomp_rule_add_array(filter, action(r), call, n, cmp);
}

static int load_filter(const struct confine_profile *p)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int rc = filter ? 0 : -ENOMEM;

	if (!rc)
		rc = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	for (size_t i = 0; !rc && i < p->nrules; i++)
		rc = add_rule(filter, &p->rules[i]);
	if (!rc)
		rc = seccomp_load(filter);
	seccomp_release(filter);
	return rc;
}

/* ---- All of it ---------------------------------------------------------------------------- */

int confine_close_others(const struct confine_profile *p, struct alc_err *err)
{
	if (syscall(SYS_close_range, p->fds_kept, ~0u, 0))
		return alc_fail(err, -errno, "%s can't close inherited descriptors: %s", p->process,
				strerror(errno));
	return 0;
}

/* After the change of user, which takes these back. */
static int bind_to_parent(const struct confine_profile *p)
{
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		return -errno;
	if (p->dies_with_parent && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))
		return -errno;
	return 0;
}

int confine(const struct confine_profile *p, struct alc_err *err)
{
	const char *step = "set limits";
	int rc = set_limits(p);

	if (!rc) {
		step = "forgo new privileges";
		rc = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;
	}
	if (!rc) {
		step = "leave the file system";
		rc = leave_files();
	}
	if (!rc) {
		step = "give up root";
		drop_bounding_set();
		rc = leave_root();
	}
	if (!rc) {
		step = "drop capabilities";
		rc = drop_capabilities();
	}
	if (!rc) {
		step = "bind its life to the machine's";
		rc = bind_to_parent(p);
	}
	if (!rc) {
		step = "filter system calls";
		rc = load_filter(p);
	}
	if (rc)
		return alc_fail(err, rc, "%s can't confine itself: can't %s: %s", p->process, step,
				strerror(-rc));
	return 0;
}

/* ---- Telling ------------------------------------------------------------------------------ */

static void describe_condition(const struct confine_condition *c, FILE *to)
{
	if (c->compare == CONFINE_EQUAL)
		fprintf(to, "arg%u == 0x%llx", c->arg, (unsigned long long)c->value);
	else
		fprintf(to, "(arg%u & 0x%llx) == 0x%llx", c->arg, (unsigned long long)c->mask,
			(unsigned long long)c->value);
}

static void describe_rule(const struct confine_rule *r, bool json, FILE *to)
{
	const char *verdict = r->verdict == CONFINE_ALLOW ? "allow" : "refuse";

	fprintf(to,
		json ? "{\"call\": \"%s\", \"verdict\": \"%s\", \"why\": \"%s\", \"when\": \""
		     : "  %-18s %-7s %s ",
		r->call, verdict, r->why);
	for (size_t i = 0; i < ARRAY_LEN(r->when) && r->when[i].compare; i++) {
		fputs(i ? " and " : json ? "" : "[", to);
		describe_condition(&r->when[i], to);
	}
	if (json)
		fputs("\"}", to);
	else
		fputs(r->when[0].compare ? "]\n" : "\n", to);
}

static void describe_json(const struct confine_profile *p, FILE *to)
{
	fprintf(to,
		"{\"process\": \"%s\", \"purpose\": \"%s\", \"user\": \"nobody if started by root\", "
		"\"capabilities\": [], \"no_new_privileges\": true, \"dumpable\": false, "
		"\"dies_with_parent\": %s, \"filesystem\": [], \"landlock_abi\": %ld, "
		"\"limits\": {\"descriptors\": %u, \"address_space\": %llu, \"core\": 0, "
		"\"file_size\": 0, \"processes\": 0}, \"other_system_calls\": \"kill\", "
		"\"system_calls\": [",
		p->process, p->purpose, p->dies_with_parent ? "true" : "false", landlock_abi(),
		p->fds_max, (unsigned long long)p->memory_max);
	for (size_t i = 0; i < p->nrules; i++) {
		fputs(i ? ",\n " : "\n ", to);
		describe_rule(&p->rules[i], true, to);
	}
	fputs("\n]}\n", to);
}

static void describe_text(const struct confine_profile *p, FILE *to)
{
	long abi = landlock_abi();

	fprintf(to, "%s: %s\n", p->process, p->purpose);
	fputs("user: nobody if started by root; no capabilities, no new privileges, not dumpable\n",
	      to);
	fprintf(to, "life: %s\n",
		p->dies_with_parent ? "ends with its machine" : "ends with its last member");
	fputs("file system: none", to);
	if (abi > 0)
		fprintf(to, " (Landlock, ABI %ld, and no system call that takes a path)\n", abi);
	else
		fputs(" (no system call that takes a path; this kernel has no Landlock)\n", to);
	fprintf(to,
		"limits: %u descriptors, %llu MiB of address space, no core, files, processes\n",
		p->fds_max, (unsigned long long)(p->memory_max >> 20));
	fputs("system calls (all others kill the process):\n", to);
	for (size_t i = 0; i < p->nrules; i++)
		describe_rule(&p->rules[i], false, to);
}

void confine_describe(const struct confine_profile *p, bool json, FILE *to)
{
	if (json)
		describe_json(p, to);
	else
		describe_text(p, to);
}
