/* Times, modes, owners, access, and what statfs says. */

#include "answers.h"
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/xattr.h>

static void times(int fd)
{
    struct stat status;
    struct timespec both[] = { { 1000000000, 123456789 }, { 1234567890, 987654321 } };
    answer("utimensat", utimensat(AT_FDCWD, "file", both, 0));
    stat("file", &status);
    printf("%ld.%09ld, %ld.%09ld\n", (long)status.st_atim.tv_sec, status.st_atim.tv_nsec,
           (long)status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
    both[0].tv_nsec = UTIME_OMIT;
    both[1] = (struct timespec){ 5, 6 };
    answer("one of them", futimens(fd, both));
    fstat(fd, &status);
    printf("%ld.%09ld, %ld.%09ld\n", (long)status.st_atim.tv_sec, status.st_atim.tv_nsec,
           (long)status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
    both[1].tv_nsec = UTIME_NOW;
    answer("now", futimens(fd, both));
    fstat(fd, &status);
    answer("later than it was", status.st_mtim.tv_sec > 1234567890);
    both[1].tv_nsec = 1000000000;
    answer("a wrong time", futimens(fd, both));
    both[1].tv_nsec = UTIME_OMIT;
    answer("neither", utimensat(AT_FDCWD, "missing", both, 0));
    answer("of a link", utimensat(AT_FDCWD, "link", NULL, AT_SYMLINK_NOFOLLOW));
    answer("of what is missing", utimensat(AT_FDCWD, "missing", NULL, 0));
    answer("utimes", utimes("file", (struct timeval[]){ { 7, 8 }, { 9, 10 } }));
    stat("file", &status);
    printf("%ld.%09ld, %ld.%09ld\n", (long)status.st_atim.tv_sec, status.st_atim.tv_nsec,
           (long)status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
    fflush(stdout);
}

static void others(int fd)
{
    struct stat status;
    answer("stat", stat("file", &status));
    answer("a file", S_ISREG(status.st_mode));
    answer("its mode", status.st_mode & 0777);
    answer("its size", status.st_size);
    answer("its links", status.st_nlink);
    answer("its owner", status.st_uid);
    answer("blocks for its size", status.st_blocks > 0 && status.st_blksize > 0);
    ino_t number = status.st_ino;
    fstat(fd, &status);
    answer("the same number", number == status.st_ino);
    stat(".", &status);
    answer("a folder", S_ISDIR(status.st_mode));
    answer("its mode", status.st_mode & 0777);
    answer("stat of nothing", stat("missing", &status));
    answer("stat below a file", stat("file/below", &status));
    answer("stat with a slash", stat("file/", &status));
    answer("the same mode", chmod("file", 0644));
    answer("the same owner", chown("file", 0, 0));
    answer("no owner", fchown(fd, -1, -1));
    answer("mode of nothing", chmod("missing", 0644));
    answer("owner of nothing", lchown("missing", 0, 0));
    answer("access", access("file", R_OK | W_OK));
    answer("a wrong access", access("file", 64));
    answer("search a folder", access(".", X_OK));
    answer("euidaccess", faccessat(AT_FDCWD, "file", R_OK, AT_EACCESS));
}

static void space(int fd)
{
    struct statfs one, two;
    struct statvfs three;
    answer("statfs", statfs(".", &one));
    answer("fstatfs", fstatfs(fd, &two));
    answer("of one volume", one.f_blocks == two.f_blocks && one.f_bsize == two.f_bsize);
    answer("as much as there is", one.f_bavail <= one.f_bfree && one.f_bfree <= one.f_blocks);
    answer("something", one.f_blocks > 0 && one.f_bsize >= 512);
    answer("the longest name", one.f_namelen);
    answer("statfs of nothing", statfs("missing", &one));
    answer("statvfs", statvfs("file", &three));
    answer("the same", three.f_blocks == two.f_blocks);
    answer("pathconf", pathconf("file", _PC_NAME_MAX));
    answer("pathconf", fpathconf(fd, _PC_PIPE_BUF));
}

value test_attributes(value unit)
{
    write_file("file", "text");
    symlink("file", "link");
    int fd = open("file", O_RDWR);
    times(fd);
    others(fd);
    space(fd);
    close(fd);
    unlink("link");
    unlink("file");
    return unit;
}
