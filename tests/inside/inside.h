/* What the parts of inside share. */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/types.h>

#define BIG (1 << 20)

/* json.c: one object to the stream out. */
extern FILE *out;
void begin(const char *name, char bracket);
void end(char bracket);
void next(void);
void key(const char *name);
void text(const char *s, size_t n);
void put(const char *name, const char *value);
void number(const char *name, long value);
void names(char **list, const char *name);
void listing(const char *name, const char *path);

/* facts.c */
ssize_t slurp(const char *path, char *buffer, size_t size);
void descriptors(void);
void namespaces(void);
int facts(int argc, char **argv, char **envp);

/* notify.c */
int notify(char **words);

/* probe.c */
const char *probed(const char *probe);
