/*
 * inside is the program that the integration tests run as a container's process. It is C and static because it must tell
 * what it finds at its start: a language runtime would have opened files, raised limits and caught signals by then.
 *
 *   inside facts [PROBE...]     print everything that a process can find out about itself, as one JSON object
 *   inside hook FILE [exit N | sleep N | flood]     as a hook: append the state, arguments, namespaces to FILE
 *   inside exit N | die SIGNAL | cat | wait | children N | storm N | signals | say WORD
 *
 * A probe is OPERATION:PATH and prints "ok", what it has read, or the name of the errno.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static FILE *out;
static int comma;

static void text(const char *s, size_t n)
{
	fputc('"', out);
	for (size_t i = 0; i < n; i++) {
		unsigned char c = s[i];
		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < ' ' || c >= 0x7f)
			fprintf(out, "\\u%04x", c);
		else
			fputc(c, out);
	}
	fputc('"', out);
}

static void next(void)
{
	if (comma)
		fputc(',', out);
	comma = 1;
}

static void key(const char *name)
{
	next();
	text(name, strlen(name));
	fputc(':', out);
}

static void begin(const char *name, char bracket)
{
	key(name);
	fputc(bracket, out);
	comma = 0;
}

static void end(char bracket)
{
	fputc(bracket, out);
	comma = 1;
}

static void put(const char *name, const char *value)
{
	key(name);
	text(value, strlen(value));
}

static void number(const char *name, long value)
{
	key(name);
	fprintf(out, "%ld", value);
}

/* slurp reads a file, at most size - 1 bytes, and returns the length or -1. */
static ssize_t slurp(const char *path, char *buffer, size_t size)
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

static char big[1 << 20];

static void file(const char *name, const char *path)
{
	if (slurp(path, big, sizeof big) >= 0)
		put(name, big);
}

static void names(char **list, const char *name)
{
	begin(name, '[');
	for (; *list; list++) {
		next();
		text(*list, strlen(*list));
	}
	end(']');
}

/* descriptors asks the kernel for each number: it needs no /proc and opens nothing. */
static void descriptors(void)
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

static void namespaces(void)
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

static void listing(const char *name, const char *path)
{
	struct dirent *e;
	DIR *d = opendir(path);
	begin(name, '[');
	while (d && (e = readdir(d))) {
		next();
		text(e->d_name, strlen(e->d_name));
	}
	if (d)
		closedir(d);
	end(']');
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

static const char *probed(char *probe)
{
	char *path = strchr(probe, ':');
	if (!path)
		return "EPROBE";
	size_t n = path++ - probe;
	int result = 0;
	errno = 0;
	if (!strncmp(probe, "read", n)) {
		if (slurp(path, big, sizeof big) >= 0)
			return big;
		result = -1;
	} else if (!strncmp(probe, "list", n)) {
		DIR *d = opendir(path);
		struct dirent *e;
		big[0] = 0;
		while (d && (e = readdir(d)))
			if (e->d_name[0] != '.')
				strcat(strcat(big, e->d_name), " ");
		if (d)
			return big;
		result = -1;
	} else if (!strncmp(probe, "write", n)) {
		result = open(path, O_WRONLY);
	} else if (!strncmp(probe, "create", n)) {
		result = open(path, O_WRONLY | O_CREAT, 0644);
	} else if (!strncmp(probe, "open", n)) {
		result = open(path, O_RDONLY | O_NONBLOCK);
	} else if (!strncmp(probe, "umount", n)) {
		result = umount2(path, MNT_DETACH);
	} else if (!strncmp(probe, "exec", n)) {
		pid_t pid = fork();
		int status;
		if (!pid) {
			execl(path, path, "exit", "0", NULL);
			_exit(errno);
		}
		waitpid(pid, &status, 0);
		errno = WEXITSTATUS(status);
		result = errno ? -1 : 0;
	} else if (!strncmp(probe, "mknod", n)) {
		result = mknod(path, S_IFCHR | 0600, makedev(1, 3));
	} else if (!strncmp(probe, "mkdir", n)) {
		result = mkdir(path, 0755);
	} else if (!strncmp(probe, "stat", n)) {
		struct stat st;
		if ((result = stat(path, &st)) == 0) {
			sprintf(big, "%o %u %u %lld", st.st_mode, st.st_uid, st.st_gid, (long long)st.st_size);
			return big;
		}
	} else if (!strncmp(probe, "socket", n)) {
		result = syscall(SYS_socket, 16 /* AF_NETLINK */, 3 /* SOCK_RAW */, 0);
	} else if (!strncmp(probe, "unshare", n)) {
		result = syscall(SYS_unshare, 0x10000000 /* CLONE_NEWUSER */);
	} else {
		return "EPROBE";
	}
	return result < 0 ? strerrorname_np(errno) : "ok";
}

static int facts(int argc, char **argv, char **envp)
{
	char cwd[4096] = "";
	struct utsname u;
	gid_t groups[1024];
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
	begin("groups", '[');
	for (int i = 0, n = getgroups(1024, groups); i < n; i++) {
		next();
		fprintf(out, "%u", groups[i]);
	}
	end(']');
	number("pid", getpid());
	number("ppid", getppid());
	number("pgid", getpgid(0));
	number("sid", getsid(0));
	limits();
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
	int signal = 0;
	prctl(PR_GET_PDEATHSIG, &signal);
	number("pdeathsig", signal);
	number("dumpable", prctl(PR_GET_DUMPABLE));
	number("securebits", prctl(PR_GET_SECUREBITS));
	int reaper = 0;
	prctl(PR_GET_CHILD_SUBREAPER, &reaper);
	number("subreaper", reaper);
	number("keepcaps", prctl(PR_GET_KEEPCAPS));
	memset(big, 0, 256);
	syscall(SYS_keyctl, 6 /* DESCRIBE */, -3 /* session */, big, 256);
	put("keyring", big);
	terminal();
	begin("probes", '{');
	for (int i = 2; i < argc; i++)
		put(argv[i], probed(strdup(argv[i])));
	end('}');
	fputs("}\n", out);
	return fflush(out) != 0;
}

static int hook(int argc, char **argv, char **envp)
{
	char *buffer = 0, cwd[4096] = "";
	size_t size = 0;
	out = open_memstream(&buffer, &size);
	fputc('{', out);
	ssize_t n = 0, got;
	while ((got = read(0, big + n, sizeof big - 1 - n)) > 0)
		n += got;
	key("state");
	text(big, n);
	descriptors();
	names(argv, "argv");
	names(envp, "env");
	syscall(SYS_getcwd, cwd, sizeof cwd);
	put("cwd", cwd);
	namespaces();
	listing("root", "/");
	fputs("}\n", out);
	fclose(out);
	int fd = open(argv[2], O_WRONLY | O_APPEND | O_CREAT, 0644);
	if (fd < 0 || write(fd, buffer, size) != (ssize_t)size)
		return 99;
	close(fd);
	if (argc > 3 && !strcmp(argv[3], "flood"))
		for (int i = 0; i < 100000; i++)
			printf("a line of output\n");
	if (argc > 4 && !strcmp(argv[3], "exit")) {
		fprintf(stderr, "hook says\nno");
		return atoi(argv[4]);
	}
	if (argc > 4 && !strcmp(argv[3], "sleep"))
		sleep(atoi(argv[4]));
	return 0;
}

/* signals prints each signal that arrives, with the window's size if there is one, until SIGTERM or SIGRTMIN+1 comes. */
static int signals(void)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, 0);
	if (write(1, "ready\n", 6) != 6)
		return 98;
	for (;;) {
		struct winsize w = { 0 };
		int number = sigwaitinfo(&all, 0);
		ioctl(0, TIOCGWINSZ, &w);
		char line[64];
		int n = snprintf(line, sizeof line, "signal %d %dx%d\n", number, w.ws_col, w.ws_row);
		if (write(1, line, n) != n)
			return 98;
		if (number == SIGTERM)
			return 7;
	}
}

static int forks(int n, int stay)
{
	for (int i = 0; i < n; i++) {
		pid_t pid = fork();
		if (pid < 0) {
			printf("fork %d: %s\n", i, strerrorname_np(errno));
			return 1;
		}
		if (!pid) {
			if (stay)
				pause();
			_exit(i & 1);
		}
	}
	if (stay) {
		printf("ready\n");
		fflush(stdout);
		for (;;)
			pause();
	}
	int ended = 0, odd = 0, status;
	while (wait(&status) > 0) {
		ended++;
		odd += WEXITSTATUS(status);
	}
	printf("%d ended, %d odd\n", ended, odd);
	return 0;
}

static void leave(int signal)
{
	_exit(signal == SIGTERM ? 0 : 100 + signal);
}

int main(int argc, char **argv, char **envp)
{
	const char *verb = argc > 1 ? argv[1] : "facts", *word = argc > 2 ? argv[2] : "0";
	if (!strcmp(verb, "facts"))
		return facts(argc, argv, envp);
	if (!strcmp(verb, "hook"))
		return hook(argc, argv, envp);
	if (!strcmp(verb, "exit"))
		return atoi(word);
	if (!strcmp(verb, "say"))
		return puts(word) < 0;
	if (!strcmp(verb, "die")) {
		struct rlimit none = { 0, 0 };
		setrlimit(RLIMIT_CORE, &none);
		signal(atoi(word), SIG_DFL);
		raise(atoi(word));
		return 97;
	}
	if (!strcmp(verb, "cat")) {
		ssize_t n;
		while ((n = read(0, big, sizeof big)) > 0)
			if (write(1, big, n) != n)
				return 98;
		return 0;
	}
	if (!strcmp(verb, "wait")) {
		signal(SIGTERM, leave);
		signal(SIGUSR1, leave);
		if (write(1, "ready\n", 6) != 6)
			return 98;
		for (;;)
			pause();
	}
	if (!strcmp(verb, "children") || !strcmp(verb, "storm"))
		return forks(atoi(word), verb[0] == 'c');
	if (!strcmp(verb, "signals"))
		return signals();
	fprintf(stderr, "inside: no verb %s\n", verb);
	return 96;
}
