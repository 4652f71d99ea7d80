/*
 * floor ROOTFS CGROUP PROGRAM [ARGUMENT...]
 *
 * What the kernel alone asks for one container: the calls that the configuration of `husk spec` comes down to, from the new
 * namespaces and the cgroup to the end of the program and the removal of the cgroup, and nothing else - no configuration is
 * read, nothing is kept, nothing is checked. No runtime can be faster; the benchmarks are given as multiples of it.
 *
 * CGROUP is a directory of cgroup v2 that does not exist yet.  cc -O2 -static -o floor floor.c
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOCKED = MS_NOSUID | MS_NODEV | MS_NOEXEC };

static const struct {
	const char *type, *target, *options;
	unsigned long flags;
	int make_target;
} mounts[] = {
	{ "proc", "proc", NULL, 0, 0 },
	{ "tmpfs", "dev", "mode=755,size=65536k", MS_NOSUID | MS_STRICTATIME, 0 },
	{ "devpts", "dev/pts", "newinstance,ptmxmode=0666,mode=0620,gid=5", MS_NOSUID | MS_NOEXEC, 1 },
	{ "tmpfs", "dev/shm", "mode=1777,size=65536k", LOCKED, 1 },
	{ "mqueue", "dev/mqueue", NULL, LOCKED, 1 },
	{ "sysfs", "sys", NULL, LOCKED | MS_RDONLY, 0 },
	{ "cgroup2", "sys/fs/cgroup", NULL, LOCKED | MS_RDONLY, 0 },
};

static const struct {
	const char *name;
	unsigned int major, minor;
} nodes[] = {
	{ "dev/null", 1, 3 },	{ "dev/zero", 1, 5 },	 { "dev/full", 1, 7 },
	{ "dev/random", 1, 8 }, { "dev/urandom", 1, 9 }, { "dev/tty", 5, 0 },
};

static const char *const links[][2] = {
	{ "/proc/self/fd", "dev/fd" },	     { "/proc/self/fd/0", "dev/stdin" }, { "/proc/self/fd/1", "dev/stdout" },
	{ "/proc/self/fd/2", "dev/stderr" }, { "pts/ptmx", "dev/ptmx" },
};

static const char *const read_only[] = { "proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger" };
static const char *const hidden_files[] = { "proc/kcore", "proc/keys", "proc/latency_stats", "proc/timer_list", "proc/sched_debug" };
static const char *const hidden_directories[] = { "proc/acpi", "proc/scsi", "sys/firmware" };

#define EACH(i, list) (size_t i = 0; i < sizeof(list) / sizeof *(list); i++)

/* Ends the process with a message if the call has failed. */
static long must(const char *what, long result)
{
	if (result < 0) {
		fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
		_exit(1);
	}
	return result;
}

static void fill_root(void)
{
	for EACH(i, mounts) {
		if (mounts[i].make_target)
			must(mounts[i].target, mkdir(mounts[i].target, 0755));
		must(mounts[i].target, mount(mounts[i].type, mounts[i].target, mounts[i].type, mounts[i].flags, mounts[i].options));
	}
	for EACH(i, nodes)
		must(nodes[i].name, mknod(nodes[i].name, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)));
	for EACH(i, links)
		must(links[i][1], symlink(links[i][0], links[i][1]));
}

/* Which of these exist depends on the kernel. */
static void hide(void)
{
	for EACH(i, read_only)
		if (mount(read_only[i], read_only[i], NULL, MS_BIND | MS_REC, NULL) == 0)
			must(read_only[i], mount(NULL, read_only[i], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
	for EACH(i, hidden_files)
		mount("dev/null", hidden_files[i], NULL, MS_BIND, NULL);
	for EACH(i, hidden_directories)
		mount("tmpfs", hidden_directories[i], "tmpfs", MS_RDONLY, NULL);
}

static void contain(const char *rootfs, char **argv)
{
	must("propagation", mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL));
	must(rootfs, mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL));
	must(rootfs, chdir(rootfs));
	fill_root();
	hide();
	must("read-only root", mount(NULL, rootfs, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
	must("pivot_root", syscall(SYS_pivot_root, ".", "."));
	must("umount2", umount2(".", MNT_DETACH));
	must("chdir", chdir("/"));
	must("sethostname", sethostname("floor", 5));
	must(argv[0], execv(argv[0], argv));
}

int main(int argc, char **argv)
{
	int status;

	if (argc < 4) {
		fputs("usage: floor ROOTFS CGROUP PROGRAM [ARGUMENT...]\n", stderr);
		return 2;
	}
	must(argv[2], mkdir(argv[2], 0755));
	struct clone_args how = {
		.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP | CLONE_INTO_CGROUP |
			 CLONE_VFORK,
		.exit_signal = SIGCHLD,
		.cgroup = (unsigned long long)must(argv[2], open(argv[2], O_PATH | O_DIRECTORY | O_CLOEXEC)),
	};
	pid_t pid = (pid_t)must("clone3", syscall(SYS_clone3, &how, sizeof how));

	if (pid == 0)
		contain(argv[1], argv + 3);
	must("waitpid", waitpid(pid, &status, 0));
	/* The last thread leaves the cgroup a moment after it could be waited for. */
	while (rmdir(argv[2]) < 0) {
		if (errno != EBUSY)
			must(argv[2], -1);
		poll(NULL, 0, 1);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
