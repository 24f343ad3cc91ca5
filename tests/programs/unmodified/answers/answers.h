/* One line of output for the answer of each call. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <caml/mlvalues.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Prints the answer of a call, or its error. */
void answer(const char *name, long result);

/* The same for a call whose answer is a descriptor of any number, which is closed. */
void opened(const char *name, int fd);

/* Makes a file with this text. */
void write_file(const char *path, const char *text);

/* Prints what a file has. */
void show_file(const char *path);
