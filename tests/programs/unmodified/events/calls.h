/* One line of output for the answer of each call. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Prints the answer of a call, or its error. */
void answer(const char *name, long result);
