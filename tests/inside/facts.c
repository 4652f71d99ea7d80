#include "inside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <termios.h>
#include <unistd.h>

/* slurp reads a file, at most size - 1 bytes, and returns the length or -1. */
ssize_t slurp(const char *path, char *buffer, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	size_t n = 0;
	if (fd < 0)
		return -1;
	for (;;) {
		ssize_t got = read(fd, buffer + n, size - 1 - n);
		if (got < 0) {
			int e = errno;
			close(fd);
			errno = e;
			return -1;
		}
		if (got == 0 || (n += got) == size - 1)
			break;
	}
	close(fd);
	buffer[n] = 0;
	return n;
}

static char big[BIG];

static void file(const char *name, const char *path)
{
	if (slurp(path, big, sizeof big) >= 0)
		put(name, big);
}

/* descriptors asks the kernel for each number: it needs no /proc and opens nothing. */
void descriptors(void)
{
	char name[64], target[4096];
	begin("fds", '{');
	for (int fd = 0; fd < 4096; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			continue;
		snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
		ssize_t n = readlink(name, target, sizeof target - 1);
		target[n < 0 ? 0 : n] = 0;
		put(name + strlen("/proc/self/fd/"), target);
	}
	end('}');
}

void namespaces(void)
{
	static const char *const kinds[] = { "cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts" };
	char name[64], target[256];
	begin("ns", '{');
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		snprintf(name, sizeof name, "/proc/self/ns/%s", kinds[i]);
		ssize_t n = readlink(name, target, sizeof target - 1);
		target[n < 0 ? 0 : n] = 0;
		put(kinds[i], target);
	}
	end('}');
}

static void limits(void)
{
	begin("limits", '[');
	for (int i = 0; i < 16; i++) {
		struct rlimit l;
		getrlimit(i, &l);
		next();
		fprintf(out, "[%llu,%llu]", (unsigned long long)l.rlim_cur, (unsigned long long)l.rlim_max);
	}
	end(']');
}

static void node(const char *path)
{
	struct stat st;
	char target[4096] = "";
	if (lstat(path, &st) < 0)
		return;
	ssize_t n = readlink(path, target, sizeof target - 1);
	if (n >= 0)
		target[n] = 0;
	begin(path, '{');
	number("mode", st.st_mode);
	number("major", major(st.st_rdev));
	number("minor", minor(st.st_rdev));
	number("uid", st.st_uid);
	number("gid", st.st_gid);
	put("link", target);
	end('}');
}

static void walk(const char *dir, int depth)
{
	char path[4096];
	struct dirent *e;
	DIR *d = opendir(dir);
	if (!d)
		return;
	while ((e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		node(path);
		if (e->d_type == DT_DIR && depth > 0)
			walk(path, depth - 1);
	}
	closedir(d);
}

static void terminal(void)
{
	struct winsize w = { 0 };
	struct stat st;
	struct termios t;
	if (!isatty(0))
		return;
	ioctl(0, TIOCGWINSZ, &w);
	begin("tty", '{');
	number("rows", w.ws_row);
	number("cols", w.ws_col);
	number("session", tcgetsid(0));
	number("foreground", tcgetpgrp(0));
	fstat(0, &st);
	number("major", major(st.st_rdev));
	number("minor", minor(st.st_rdev));
	number("uid", st.st_uid);
	number("mode", st.st_mode);
	tcgetattr(0, &t);
	number("onlcr", !!(t.c_oflag & ONLCR));
	int fd = open("/dev/tty", O_RDWR);
	number("controlling", fd >= 0);
	if (fd >= 0)
		close(fd);
	char name[256] = "";
	ttyname_r(0, name, sizeof name);
	put("name", name);
	end('}');
}

/* mounts counts what listmount(2) knows of this namespace, -1 where the kernel does not tell. */
static long mounts(void)
{
	struct {
		uint32_t size, spare;
		uint64_t mnt_id, param, mnt_ns_id;
	} request = { .size = 32, .mnt_id = UINT64_MAX };
	static uint64_t ids[4096];
	return syscall(458, &request, ids, 4096, 0);
}

static void groups(void)
{
	static gid_t list[65536];
	begin("groups", '[');
	for (int i = 0, n = getgroups(65536, list); i < n; i++) {
		next();
		fprintf(out, "%u", list[i]);
	}
	end(']');
}

/* scheduling is how the kernel runs this process. */
static void scheduling(void)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
		uint32_t util_min, util_max;
	} attr = { .size = sizeof attr };
	uint64_t nodes[16] = { 0 };
	int mode = -1;
	struct utsname u;
	uname(&u);
	syscall(SYS_sched_getattr, 0, &attr, sizeof attr, 0);
	syscall(SYS_get_mempolicy, &mode, nodes, 1024, 0, 0);
	begin("scheduling", '{');
	number("policy", attr.policy);
	number("flags", attr.flags);
	number("nice", attr.nice);
	number("priority", attr.priority);
	number("runtime", attr.runtime);
	number("deadline", attr.deadline);
	number("period", attr.period);
	number("ioprio", syscall(SYS_ioprio_get, 1 /* IOPRIO_WHO_PROCESS */, 0));
	number("memory", mode);
	number("nodes", nodes[0]);
	number("personality", personality(0xffffffff));
	put("machine", u.machine);
	end('}');
}

/* controls are what prctl(2) and keyctl(2) know. */
static void controls(void)
{
	int signal = 0, reaper = 0;
	prctl(PR_GET_PDEATHSIG, &signal);
	number("pdeathsig", signal);
	number("dumpable", prctl(PR_GET_DUMPABLE));
	number("securebits", prctl(PR_GET_SECUREBITS));
	prctl(PR_GET_CHILD_SUBREAPER, &reaper);
	number("subreaper", reaper);
	number("keepcaps", prctl(PR_GET_KEEPCAPS));
	memset(big, 0, 256);
	syscall(SYS_keyctl, 6 /* DESCRIBE */, -3 /* session */, big, 256);
	put("keyring", big);
}

int facts(int argc, char **argv, char **envp)
{
	char cwd[4096] = "";
	struct utsname u;
	struct stat root, up;

	out = stdout;
	fputc('{', out);
	descriptors(); /* first: what follows may open files */
	names(argv, "argv");
	names(envp, "env");
	file("status", "/proc/self/status"); /* before umask is asked, which sets it */
	mode_t mask = umask(0);
	umask(mask);
	number("umask", mask);
	syscall(SYS_getcwd, cwd, sizeof cwd);
	put("cwd", cwd);
	uname(&u);
	put("hostname", u.nodename);
	put("domainname", u.domainname);
	number("uid", getuid());
	number("gid", getgid());
	groups();
	number("pid", getpid());
	number("ppid", getppid());
	number("pgid", getpgid(0));
	number("sid", getsid(0));
	limits();
	scheduling();
	namespaces();
	file("mountinfo", "/proc/self/mountinfo");
	number("mounts", mounts());
	file("cgroup", "/proc/self/cgroup");
	file("oom", "/proc/self/oom_score_adj");
	file("maps", "/proc/self/maps");
	file("comm", "/proc/self/comm");
	ssize_t n = readlink("/proc/self/exe", big, 4096);
	big[n < 0 ? 0 : n] = 0;
	put("exe", big);
	begin("nodes", '{');
	walk("/dev", 1);
	end('}');
	listing("proc", "/proc");
	listing("root", "/");
	stat("/", &root);
	stat("/..", &up);
	number("rooted", root.st_ino == up.st_ino && root.st_dev == up.st_dev);
	controls();
	terminal();
	begin("probes", '{');
	for (int i = 2; i < argc; i++)
		put(argv[i], probed(argv[i]));
	end('}');
	fputs("}\n", out);
	return fflush(out) != 0;
}
