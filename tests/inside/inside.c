/*
 * inside is the program that the integration tests run as a container's process. It is C and static because it must tell
 * what it finds at its start: a language runtime would have opened files, raised limits and caught signals by then.
 *
 *   inside facts [PROBE...]     print everything that a process can find out about itself, as one JSON object
 *   inside hook FILE [exit N | sleep N | flood]     as a hook: append the state, arguments, namespaces to FILE
 *   inside exit N | die SIGNAL | cat | wait | deny | children N | storm N | orphans N | signals | say WORD | hog | notify WORD...
 *
 * A probe is OPERATION:PATH and prints "ok", what it has read, or the name of the errno.
 */
#define _GNU_SOURCE
#include "inside.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char big[BIG];

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

/* orphans leaves n processes behind, one after the other, and waits for each until somebody has reaped it. */
static int orphans(int n)
{
	for (int i = 0; i < n; i++) {
		int pids[2], parent[2];
		pid_t orphan;
		if (pipe(pids) || pipe(parent))
			return 98;
		pid_t child = fork();
		if (!child) {
			if ((orphan = fork())) {
				write(pids[1], &orphan, sizeof orphan);
				_exit(0);
			}
			close(parent[1]);
			_exit(read(parent[0], big, 1)); /* until the parent has ended, too */
		}
		waitpid(child, 0, 0);
		if (read(pids[0], &orphan, sizeof orphan) != sizeof orphan || orphan < 0)
			return 98;
		for (int fd = 0; fd < 2; fd++) {
			close(pids[fd]);
			close(parent[fd]);
		}
		for (int tries = 0; !kill(orphan, 0); tries++) {
			if (tries == 1000)
				return puts("not reaped") < 0;
			usleep(10000);
		}
	}
	return puts("reaped") < 0;
}

/* bomb has n processes of which each makes another and ends, for ever. */
static int bomb(int n)
{
	signal(SIGCHLD, SIG_IGN);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	for (int i = 0; i < n; i++)
		if (!fork())
			for (;;)
				if (fork() > 0)
					_exit(0);
	if (write(1, "ready\n", 6) != 6)
		return 98;
	for (;;)
		pause();
}

static void leave(int signal)
{
	_exit(signal == SIGTERM ? 0 : 100 + signal);
}

static int overwrite(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY);
	return fd < 0 || write(fd, text, strlen(text)) < 0 || close(fd);
}

/* As user and group 1000: goes into a user namespace of its own, in which nobody may set groups. */
static int deny_groups(void)
{
	return unshare(CLONE_NEWUSER) || overwrite("/proc/self/setgroups", "deny") || overwrite("/proc/self/uid_map", "0 1000 1") ||
	       overwrite("/proc/self/gid_map", "0 1000 1");
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
	if (!strcmp(verb, "hog")) {
		for (char *more; (more = malloc(1 << 20));)
			memset(more, 1, 1 << 20);
		return 96;
	}
	if (!strcmp(verb, "chroot") && !chroot(word) && !chdir("/"))
		verb = "wait";
	if (!strcmp(verb, "deny") && !deny_groups())
		verb = "wait";
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
	if (!strcmp(verb, "orphans"))
		return orphans(atoi(word));
	if (!strcmp(verb, "bomb"))
		return bomb(atoi(word));
	if (!strcmp(verb, "signals"))
		return signals();
	if (!strcmp(verb, "notify"))
		return notify(argv + 2);
	fprintf(stderr, "inside: no verb %s\n", verb);
	return 96;
}
