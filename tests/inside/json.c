#include "inside.h"

#include <dirent.h>
#include <string.h>

FILE *out;
static int comma;

void text(const char *s, size_t n)
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

void next(void)
{
	if (comma)
		fputc(',', out);
	comma = 1;
}

void key(const char *name)
{
	next();
	text(name, strlen(name));
	fputc(':', out);
}

void begin(const char *name, char bracket)
{
	key(name);
	fputc(bracket, out);
	comma = 0;
}

void end(char bracket)
{
	fputc(bracket, out);
	comma = 1;
}

void put(const char *name, const char *value)
{
	key(name);
	text(value, strlen(value));
}

void number(const char *name, long value)
{
	key(name);
	fprintf(out, "%ld", value);
}

void names(char **list, const char *name)
{
	begin(name, '[');
	for (; *list; list++) {
		next();
		text(*list, strlen(*list));
	}
	end(']');
}

void listing(const char *name, const char *path)
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
