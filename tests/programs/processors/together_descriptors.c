// Calls on descriptors of all threads at once: each has its own answer.

#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "together.h"

enum { NUMBERS = 1024, TOKENS = 50 };
static atomic_int taken[NUMBERS], passed[2][MOST][TOKENS];
// A pipe, and a file and a directory with one position for all.
static int common[2], common_file, common_directory;

static int take(int descriptor, const char *what) {
    check(descriptor >= 0 && descriptor < NUMBERS, what);
    check(atomic_exchange(&taken[descriptor], 1) == 0, "a descriptor that nothing else has");
    return descriptor;
}

static void give_back(int descriptor) {
    atomic_store(&taken[descriptor], 0);
    check(close(descriptor) == 0, "close");
}

// A token that nothing else has passed on.
static void pass(int kind, const int *token) {
    check(token[0] >= 0 && token[0] < MOST && token[1] >= 0 && token[1] < TOKENS, "a token");
    check(atomic_fetch_add(&passed[kind][token[0]][token[1]], 1) == 0, "a token once");
}

static void *use_descriptors(void *argument) {
    intptr_t number = (intptr_t)argument;
    char name[40];
    snprintf(name, sizeof name, "/tmp/together-%d", (int)number);
    for (int i = 0; i < TOKENS; i++) {
        unsigned char sent[600], found[600];
        for (size_t at = 0; at < sizeof sent; at++) sent[at] = at + 7 * i + 31 * number;

        int ends[2];
        check(pipe(ends) == 0, "pipe");
        take(ends[0], "pipe");
        take(ends[1], "pipe");
        int copy = take(dup(ends[0]), "dup");
        check(dup2(ends[1], copy) == copy, "dup2");
        struct pollfd wait = {.fd = ends[0], .events = POLLIN};
        check(poll(&wait, 1, 0) == 0, "an empty pipe");
        check(write(copy, sent, sizeof sent) == sizeof sent, "write to a pipe");
        check(poll(&wait, 1, -1) == 1 && wait.revents == POLLIN, "poll");
        check(read(ends[0], found, sizeof found) == sizeof found, "read from a pipe");
        check(!memcmp(found, sent, sizeof sent), "what was written to the pipe");
        give_back(copy);
        give_back(ends[1]);
        check(read(ends[0], found, 1) == 0, "the end of a pipe");
        give_back(ends[0]);

        int file = take(open(name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600), "open");
        struct stat status;
        check(write(file, sent, sizeof sent) == sizeof sent, "write to a file");
        check(fstat(file, &status) == 0 && status.st_size == sizeof sent, "the file's size");
        check(pread(file, found, sizeof found, 0) == sizeof found, "read from a file");
        check(!memcmp(found, sent, sizeof sent), "what was written to the file");
        give_back(file);
        check(unlink(name) == 0 && access(name, F_OK) == -1, "unlink");

        int token[2] = {number, i};
        check(write(common_file, token, sizeof token) == sizeof token, "write a token");
        check(write(common[1], token, sizeof token) == sizeof token, "write a token");
        check(read(common[0], token, sizeof token) == sizeof token, "read a token");
        pass(0, token);

        for (int j = 0; j < 5; j++) {
            lseek(common_directory, 0, SEEK_SET);
            long size = syscall(SYS_getdents64, common_directory, found, sizeof found);
            check(size >= 0, "a directory that others read as well");
        }
    }
    return 0;
}

static void *read_common_file(void *number) {
    (void)number;
    int token[2];
    ssize_t size;
    while ((size = read(common_file, token, sizeof token)) != 0) {
        check(size == sizeof token, "read a token");
        pass(1, token);
    }
    return 0;
}

void descriptors(void) {
    int threads = count + 1;
    common_file = open("/tmp/together-common", O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    common_directory = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check(common_file >= 0 && common_directory >= 0 && pipe(common) == 0, "what all use");
    each(threads, use_descriptors);
    check(lseek(common_file, 0, SEEK_SET) == 0, "lseek");
    each(threads, read_common_file);
    for (int i = 0; i < 2 * threads * TOKENS; i++) {
        int passed_on = atomic_load(&passed[i % 2][i / 2 / TOKENS][i / 2 % TOKENS]);
        check(passed_on == 1, "each token");
    }
    close(common_file);
    close(common_directory);
    close(common[0]);
    close(common[1]);
}
