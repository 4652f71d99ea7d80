/* What a program tells its service manager, sd_notify(3), without the library. */
#include "inside.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Sends a message, with a descriptor unless that is -1. */
static int tell(const char *message, int fd)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof fd)];
	} control = { .header = { .cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
	struct iovec text = { (void *)message, strlen(message) };
	struct msghdr m = { .msg_name = &to, .msg_iov = &text, .msg_iovlen = 1 };
	int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (!name || strlen(name) >= sizeof to.sun_path) {
		printf("no NOTIFY_SOCKET\n");
		return 1;
	}
	strcpy(to.sun_path, name);
	m.msg_namelen = offsetof(struct sockaddr_un, sun_path) + strlen(name) + 1;
	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
		m.msg_control = &control;
		m.msg_controllen = sizeof control;
	}
	if (sendmsg(s, &m, 0) < 0) {
		printf("%s\n", strerrorname_np(errno));
		return 1;
	}
	close(s);
	return 0;
}

/* Waits until all that was sent has been dealt with: sd_notify_barrier(3). */
static int barrier(void)
{
	int ends[2];
	if (pipe(ends) || tell("BARRIER=1", ends[1]))
		return 1;
	close(ends[1]);
	struct pollfd end = { .fd = ends[0] };
	printf("%s\n", poll(&end, 1, 15000) == 1 ? "passed" : "not passed");
	return 0;
}

/* Sends a TCP socket whose last close(2) waits for a minute, because nobody reads what it has to send, and keeps none. */
static int linger(const char *port)
{
	struct linger minute = { .l_onoff = 1, .l_linger = 60 };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(atoi(port)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	static char data[1 << 16];
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(s, (struct sockaddr *)&to, sizeof to) || setsockopt(s, SOL_SOCKET, SO_LINGER, &minute, sizeof minute)) {
		printf("%s\n", strerrorname_np(errno));
		return 1;
	}
	while (send(s, data, sizeof data, MSG_DONTWAIT) > 0)
		;
	return tell("STATUS=linger", s);
}

/*
 * notify WORD...: each word is a message, but for "barrier", "wait" (for a line of input), "hup" (for SIGHUP), "fd:MESSAGE", which
 * comes with standard input, and "linger:PORT". What is printed is what happened.
 */
int notify(char **words)
{
	char line[64];
	sigset_t hup;
	int number;

	setlinebuf(stdout);
	sigemptyset(&hup);
	sigaddset(&hup, SIGHUP);
	sigprocmask(SIG_BLOCK, &hup, 0);
	for (; *words; words++) {
		if (!strcmp(*words, "barrier")) {
			if (barrier())
				return 1;
		} else if (!strcmp(*words, "wait")) {
			printf("ready\n");
			if (!fgets(line, sizeof line, stdin))
				return 1;
		} else if (!strcmp(*words, "hup")) {
			if (sigwait(&hup, &number))
				return 1;
		} else if (!strncmp(*words, "fd:", 3)) {
			if (tell(*words + 3, 0))
				return 1;
		} else if (!strncmp(*words, "linger:", 7)) {
			if (linger(*words + 7))
				return 1;
		} else if (tell(*words, -1)) {
			return 1;
		}
	}
	return 0;
}
