/* The checked functions that gcc calls with -D_FORTIFY_SOURCE, with enough room and with too
   little. They have names of their own here, since gcc would replace calls that it can prove safe. */
#include <caml/mlvalues.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char *checked_strcpy(char *, const char *, size_t) __asm__("__strcpy_chk");
extern char *checked_stpcpy(char *, const char *, size_t) __asm__("__stpcpy_chk");
extern char *checked_strcat(char *, const char *, size_t) __asm__("__strcat_chk");
extern char *checked_strncat(char *, const char *, size_t, size_t) __asm__("__strncat_chk");
extern void *checked_memcpy(void *, const void *, size_t, size_t) __asm__("__memcpy_chk");
extern int checked_sprintf(char *, int, size_t, const char *, ...) __asm__("__sprintf_chk");
extern int checked_snprintf(char *, size_t, int, size_t, const char *, ...) __asm__("__snprintf_chk");
extern int checked_vsprintf(char *, int, size_t, const char *, va_list) __asm__("__vsprintf_chk");
extern char *checked_fgets(char *, size_t, int, FILE *) __asm__("__fgets_chk");
extern size_t checked_fread(void *, size_t, size_t, size_t, FILE *) __asm__("__fread_chk");
extern int checked_poll(struct pollfd *, nfds_t, int, size_t) __asm__("__poll_chk");
extern char *checked_realpath(const char *, char *, size_t) __asm__("__realpath_chk");
extern int checked_getgroups(int, unsigned *, size_t) __asm__("__getgroups_chk");
extern void checked_longjmp(jmp_buf, int) __asm__("__longjmp_chk") __attribute__((noreturn));

static jmp_buf place;

static int list(char *to, size_t room, const char *format, ...)
{
  va_list arguments;
  va_start(arguments, format);
  int result = checked_vsprintf(to, 1, room, format, arguments);
  va_end(arguments);
  return result;
}

static void __attribute__((noinline)) leave_a_place(void)
{
  volatile char below[256] = { 0 };
  if (!setjmp(place)) below[1] = below[0];
}

static FILE *text(void)
{
  static char lines[] = "one\ntwo\n";
  return fmemopen(lines, 8, "r");
}

static void all_fit(void)
{
  char to[16], path[PATH_MAX];
  FILE *file = text();
  checked_strcpy(to, "hello", 6);
  printf("%s %d\n", to, (int)(checked_stpcpy(to, "hello", 6) - to));
  printf("%s\n", checked_strcat(to, " you", 10));
  printf("%s\n", checked_strncat(to, "abcdef", 3, 13));
  printf("%d %s\n", checked_sprintf(to, 1, 4, "%d-%s", 7, "x"), to);
  printf("%d %s\n", checked_sprintf(to, 1, -1, "%d-%s %.1f", 8, "x", 1.5), to);
  printf("%d %s\n", list(to, 8, "%d-%s %.1f", 9, "x", 2.5), to);
  printf("%d %s\n", checked_snprintf(to, 4, 1, 16, "%s", "long one"), to);
  printf("%s", checked_fgets(to, 5, 5, file));
  printf("%d\n", checked_fgets(to, 5, 0, file) == NULL);
  printf("%d\n", (int)checked_fread(to, 4, 2, 2, file));
  printf("%d\n", checked_poll(NULL, 0, 0, 0));
  printf("%s\n", checked_realpath("/", path, sizeof path));
  int jumped = setjmp(place);
  if (!jumped) checked_longjmp(place, 3);
  printf("jumped: %d\n", jumped);
}

value test_fortified(value kind)
{
  const char *name = String_val(kind);
  static volatile char to[64];
  char *small = (char *)to;
  if (!strcmp(name, "fits")) all_fit();
  else if (!strcmp(name, "strcpy")) checked_strcpy(small, "hello", 5);
  else if (!strcmp(name, "stpcpy")) checked_stpcpy(small, "hello", 5);
  else if (!strcmp(name, "strcat")) { strcpy(small, "hello"); checked_strcat(small, " you", 9); }
  else if (!strcmp(name, "strncat")) { strcpy(small, "hello"); checked_strncat(small, "abcdef", 3, 8); }
  else if (!strcmp(name, "memcpy")) checked_memcpy(small, "hello", 5, 4);
  else if (!strcmp(name, "sprintf")) checked_sprintf(small, 1, 3, "%d-%s", 7, "x");
  else if (!strcmp(name, "vsprintf")) list(small, 7, "%d-%s %.1f", 9, "x", 2.5);
  else if (!strcmp(name, "snprintf")) checked_snprintf(small, 5, 1, 4, "x");
  else if (!strcmp(name, "fgets")) checked_fgets(small, 4, 5, text());
  else if (!strcmp(name, "fread")) checked_fread(small, 7, 4, 2, text());
  else if (!strcmp(name, "poll")) checked_poll((struct pollfd *)small, 2, 0, 15);
  else if (!strcmp(name, "realpath")) checked_realpath("/", small, sizeof to);
  else if (!strcmp(name, "getgroups")) checked_getgroups(4, (unsigned *)small, 12);
  else if (!strcmp(name, "longjmp")) { leave_a_place(); checked_longjmp(place, 1); }
  fflush(stdout);
  return Val_unit;
}
