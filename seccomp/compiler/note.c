//go:build cgo

/*
 * An ELF note that says which libseccomp this program is linked with, so that
 * the version can be read from the file without running it.
 */
#include <seccomp.h>

#define TEXT(x) #x
#define VERSION(a, b, c) TEXT(a) "." TEXT(b) "." TEXT(c)
#define LIBSECCOMP VERSION(SCMP_VER_MAJOR, SCMP_VER_MINOR, SCMP_VER_MICRO)

__attribute__((used, aligned(4), section(".note.husk.libseccomp")))
static const struct {
	unsigned int name_size, desc_size, type;
	char name[8];
	char desc[(sizeof LIBSECCOMP + 3) / 4 * 4];
} note = { 5, sizeof LIBSECCOMP - 1, 1, "husk", LIBSECCOMP };
