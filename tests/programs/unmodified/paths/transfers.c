/* Reads and writes of pieces and at places, positions, holes, and duplicated descriptors. */

#include "answers.h"
#include <limits.h>
#include <sys/mman.h>
#include <sys/uio.h>

/* Where no memory is; the compiler is not to know it. */
static void *volatile nowhere = (void *)8;

static void pieces(int fd)
{
    char one[4] = "", two[8] = "";
    struct iovec out[] = { { "Hello", 5 }, { ", ", 2 }, { "", 0 }, { "world", 5 } };
    struct iovec in[] = { { one, 3 }, { two, 7 } };
    answer("writev", writev(fd, out, 4));
    answer("the position", lseek(fd, 0, SEEK_CUR));
    answer("readv at the end", readv(fd, in, 2));
    answer("seek", lseek(fd, -12, SEEK_CUR));
    answer("readv", readv(fd, in, 2));
    printf("%.3s|%.7s\n", one, two);
    answer("preadv", preadv(fd, in, 2, 5));
    printf("%.3s|%.4s\n", one, two);
    answer("pwritev", pwritev(fd, out, 2, 20));
    answer("the position", lseek(fd, 0, SEEK_CUR));
    answer("no pieces", writev(fd, out, 0));
    volatile int most = IOV_MAX;
    answer("too many pieces", writev(fd, out, most + 1));
    answer("a negative place", pread(fd, one, 1, -1));
    answer("a wrong address", read(fd, nowhere, 4));
    answer("nothing, from a wrong address", read(fd, nowhere, 0));
    struct iovec partly[] = { { "ab", 2 }, { nowhere, 2 } };
    answer("a wrong piece", pwritev(fd, partly + 1, 1, 0));
}

static void positions(int fd)
{
    char byte = 0;
    answer("truncate", ftruncate(fd, 0));
    answer("past the end", pwrite(fd, "x", 1, 100000));
    answer("in the hole", pread(fd, &byte, 1, 50000));
    answer("is zero", byte);
    answer("its end", lseek(fd, 0, SEEK_END));
    answer("data", lseek(fd, 100000, SEEK_DATA));
    answer("a hole at the end", lseek(fd, 100000, SEEK_HOLE));
    answer("data past the end", lseek(fd, 100001, SEEK_DATA));
    answer("before the beginning", lseek(fd, -1, SEEK_SET));
    answer("a wrong way", lseek(fd, 0, 17));
    answer("grow", ftruncate(fd, 200000));
    answer("its end", lseek(fd, 0, SEEK_END));
    answer("a negative size", ftruncate(fd, -1));
    answer("truncate by name", truncate("data", 5));
    answer("truncate a folder", truncate(".", 5));
    answer("its end", lseek(fd, 0, SEEK_END));
    answer("at the end", read(fd, &byte, 1));
    answer("fsync", fsync(fd));
    answer("fdatasync", fdatasync(fd));
    answer("syncfs", syncfs(fd));
    answer("allocate", posix_fallocate(fd, 0, 1 << 16));
    answer("its end", lseek(fd, 0, SEEK_END));
    answer("advice", posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL));
}

static void duplicates(int fd)
{
    lseek(fd, 3, SEEK_SET);
    int copy = dup(fd), high = fcntl(fd, F_DUPFD_CLOEXEC, 50);
    answer("of a copy", lseek(copy, 0, SEEK_CUR));
    answer("the copy", high);
    answer("closes at exec", fcntl(high, F_GETFD));
    answer("and the first", fcntl(copy, F_GETFD));
    answer("dup2", dup2(fd, 60));
    answer("dup2 of itself", dup2(60, 60));
    answer("dup2 of nothing", dup2(99, 60));
    answer("dup2 too far", dup2(fd, 1 << 30));
    answer("dup3", dup3(fd, 61, O_CLOEXEC));
    answer("closes at exec", fcntl(61, F_GETFD));
    answer("dup3 of itself", dup3(fd, fd, 0));
    answer("append", fcntl(copy, F_SETFL, O_APPEND));
    answer("the first appends", (fcntl(fd, F_GETFL) & O_APPEND) != 0);
    answer("not any more", fcntl(fd, F_SETFL, 0));
    answer("the copy, too", (fcntl(copy, F_GETFL) & O_APPEND) != 0);
    answer("a wrong command", fcntl(fd, 4711));
    close(fd);
    answer("closed", lseek(fd, 0, SEEK_CUR));
    answer("closed twice", close(fd));
    answer("the copy isn't", lseek(copy, 0, SEEK_CUR));
    close(copy);
    close(high);
    close(60);
    close(61);
}

static void mapped(void)
{
    write_file("data", "0123456789");
    int fd = open("data", O_RDWR);
    char *private = mmap(NULL, 10, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    answer("private", private == MAP_FAILED ? -1 : 0);
    private[0] = 'x';
    answer("past the end is zero", private[10]);
    show_file("data");
    munmap(private, 10);
    char *shared = mmap(NULL, 10, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    answer("shared", shared == MAP_FAILED ? -1 : 0);
    shared[1] = 'y';
    answer("msync", msync(shared, 10, MS_SYNC));
    show_file("data");
    shared[2] = 'z';
    munmap(shared, 10);
    show_file("data");
    answer("not at a page", mmap(NULL, 10, PROT_READ, MAP_SHARED, fd, 5) == MAP_FAILED ? -1 : 0);
    answer("no length", mmap(NULL, 0, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
    answer("neither way", mmap(NULL, 10, PROT_READ, 0, fd, 0) == MAP_FAILED ? -1 : 0);
    close(fd);
    fd = open("data", O_RDONLY);
    void *wanted = mmap(NULL, 10, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    answer("to write what is read only", wanted == MAP_FAILED ? -1 : 0);
    close(fd);
    unlink("data");
}

static void pipes(void)
{
    int ends[2], flags;
    char text[8];
    answer("pipe2", pipe2(ends, O_CLOEXEC | O_NONBLOCK));
    flags = fcntl(ends[0], F_GETFL);
    answer("doesn't block", (flags & O_NONBLOCK) != 0);
    answer("closes at exec", fcntl(ends[1], F_GETFD));
    answer("empty", read(ends[0], text, 8));
    answer("write", write(ends[1], "abc", 3));
    answer("read", read(ends[0], text, 8));
    answer("seek", lseek(ends[0], 0, SEEK_CUR));
    answer("at a place", pread(ends[0], text, 1, 0));
    answer("truncate", ftruncate(ends[1], 0));
    answer("the wrong end", write(ends[0], "x", 1));
    answer("the wrong end", read(ends[1], text, 1));
    close(ends[1]);
    answer("the end", read(ends[0], text, 8));
    close(ends[0]);
    answer("a wrong flag", pipe2(ends, O_APPEND));
}

value test_transfers(value unit)
{
    int fd = open("data", O_CREAT | O_TRUNC | O_RDWR, 0644);
    pieces(fd);
    positions(fd);
    duplicates(fd);
    mapped();
    pipes();
    return unit;
}
