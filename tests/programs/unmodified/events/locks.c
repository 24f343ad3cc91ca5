/* flock, the records of fcntl, and statx. */

#define _GNU_SOURCE
#include "answers.h"
#include <caml/mlvalues.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int record(int fd, int command, int kind, long start, long length)
{
    struct flock lock = { .l_type = kind, .l_start = start, .l_len = length };
    return fcntl(fd, command, &lock);
}

static void test(const char *name, int fd, int command, int kind, long start, long length)
{
    struct flock lock = { .l_type = kind, .l_start = start, .l_len = length };
    if (fcntl(fd, command, &lock) < 0)
        answer(name, -1);
    else if (lock.l_type == F_UNLCK)
        printf("%s: free\n", name);
    else
        printf("%s: %s, %ld for %ld%s\n", name, lock.l_type == F_WRLCK ? "exclusive" : "shared",
               (long)lock.l_start, (long)lock.l_len, lock.l_pid == -1 ? ", of a description" : "");
    fflush(stdout);
}

static int first;

static void *unlock(void *unused)
{
    (void)unused;
    usleep(20000);
    flock(first, LOCK_UN);
    return NULL;
}

static void *unlock_record(void *unused)
{
    (void)unused;
    usleep(20000);
    record(first, F_OFD_SETLK, F_UNLCK, 0, 0);
    return NULL;
}

value test_locks(value unit)
{
    char name[] = "/tmp/locks-XXXXXX";
    first = mkstemp(name);
    int second = open(name, O_RDWR), copy = dup(first), reader = open(name, O_RDONLY);
    pthread_t thread;
    answer("write", write(first, "0123456789", 10));

    answer("exclusive", flock(first, LOCK_EX));
    answer("exclusive by another", flock(second, LOCK_EX | LOCK_NB));
    answer("shared by another", flock(second, LOCK_SH | LOCK_NB));
    answer("exclusive by a duplicate", flock(copy, LOCK_EX | LOCK_NB));
    answer("shared", flock(copy, LOCK_SH));
    answer("shared by another", flock(second, LOCK_SH | LOCK_NB));
    answer("exclusive with another", flock(first, LOCK_EX | LOCK_NB));
    answer("the old one is lost", flock(second, LOCK_EX | LOCK_NB));
    answer("unlock", flock(second, LOCK_UN));
    answer("a wrong operation", flock(second, 77));
    answer("closed", flock(99, LOCK_EX));
    answer("exclusive", flock(first, LOCK_EX));
    pthread_create(&thread, NULL, unlock, NULL);
    answer("waited for", flock(second, LOCK_EX));
    pthread_join(thread, NULL);
    answer("records don't know it", record(first, F_OFD_SETLK, F_WRLCK, 0, 0));
    close(second);
    answer("closed by another", flock(first, LOCK_EX | LOCK_NB));
    second = open(name, O_RDWR);
    answer("records", record(first, F_OFD_SETLK, F_UNLCK, 0, 0));

    answer("a record", record(first, F_SETLK, F_WRLCK, 2, 3));
    answer("one of the process", record(second, F_SETLK, F_WRLCK, 0, 10));
    test("of the process", second, F_GETLK, F_WRLCK, 0, 0);
    test("of a description", second, F_OFD_GETLK, F_WRLCK, 0, 0);
    answer("of a description, in conflict", record(second, F_OFD_SETLK, F_RDLCK, 3, 1));
    answer("of a description, behind it", record(second, F_OFD_SETLK, F_WRLCK, 10, 10));
    test("behind it", first, F_GETLK, F_RDLCK, 0, 0);
    answer("in conflict", record(first, F_SETLK, F_RDLCK, 5, 10));
    answer("unlock a part", record(first, F_SETLK, F_UNLCK, 4, 2));
    test("the first part", second, F_OFD_GETLK, F_WRLCK, 0, 0);
    test("the last part", second, F_OFD_GETLK, F_WRLCK, 4, 0);
    close(copy);
    test("gone by a close", second, F_OFD_GETLK, F_WRLCK, 0, 0);
    answer("exclusive by a reader", record(reader, F_SETLK, F_WRLCK, 0, 0));
    answer("a wrong kind", record(first, F_SETLK, 77, 0, 0));
    answer("a wrong start", record(first, F_SETLK, F_RDLCK, -1, 0));
    answer("no memory", fcntl(first, F_SETLK, (void *)8));
    answer("the last bytes", record(first, F_OFD_SETLK, F_WRLCK, 20, -5));
    test("the last bytes", second, F_OFD_GETLK, F_WRLCK, 0, 0);
    answer("all", record(first, F_OFD_SETLK, F_UNLCK, 0, 0));
    answer("all of another", record(second, F_OFD_SETLK, F_UNLCK, 0, 0));
    answer("all", record(first, F_OFD_SETLK, F_WRLCK, 0, 0));
    pthread_create(&thread, NULL, unlock_record, NULL);
    answer("a record waited for", record(second, F_OFD_SETLKW, F_WRLCK, 0, 1));
    pthread_join(thread, NULL);
    answer("lockf", lockf(first, F_TEST, 1));

    struct stat stat;
    struct statx more;
    answer("fstat", fstat(first, &stat));
    answer("statx", statx(AT_FDCWD, name, 0, STATX_BASIC_STATS, &more));
    printf("the same: %d %d %d %d\n", stat.st_ino == more.stx_ino,
           stat.st_mode == more.stx_mode, stat.st_mtim.tv_sec == more.stx_mtime.tv_sec,
           stat.st_mtim.tv_nsec == more.stx_mtime.tv_nsec);
    printf("size %lld, links %u, kind %o\n", (long long)more.stx_size, more.stx_nlink,
           more.stx_mode & S_IFMT);
    answer("statx of a descriptor", statx(first, "", AT_EMPTY_PATH, STATX_SIZE, &more));
    answer("statx without a name", statx(first, "", 0, STATX_SIZE, &more));
    answer("statx with a wrong flag", statx(first, "x", 0x10000000, STATX_SIZE, &more));
    char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, first, 0);
    char bytes[16] = "";
    printf("mapped: %.10s\n", map);
    map[1] = 'x';
    map[12] = 'y';
    answer("msync", msync(map, 8192, MS_SYNC));
    answer("pread", pread(second, bytes, 15, 0));
    printf("written: %s\n", bytes);
    char *again = mmap(NULL, 8192, PROT_READ, MAP_SHARED, reader, 0);
    map[3] = 'w';
    printf("mapped twice: %.5s\n", again);
    answer("munmap of one", munmap(again, 8192));
    map[2] = 'z';
    answer("munmap", munmap(map, 8192));
    answer("pread", pread(second, bytes, 15, 0));
    printf("written: %s\n", bytes);
    answer("of a reader", mmap(NULL, 4096, PROT_WRITE | PROT_READ, MAP_SHARED, reader, 0) == MAP_FAILED);
    unlink(name);
    answer("statx of nothing", statx(AT_FDCWD, name, 0, STATX_SIZE, &more));
    close(first);
    close(second);
    close(reader);
    return unit;
}
