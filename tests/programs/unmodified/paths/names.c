/* open's flags, rename's, links, and calls that are given a directory's descriptor. */

#include "answers.h"
#include <limits.h>
#include <sys/syscall.h>

static void flags(void)
{
    write_file("file", "text");
    mkdir("folder", 0755);
    opened("create what is there", open("file", O_CREAT | O_EXCL | O_RDWR, 0644));
    opened("create a folder's name", open("folder", O_CREAT | O_RDWR, 0644));
    opened("write a folder", open("folder", O_WRONLY));
    opened("read a folder", open("folder", O_RDONLY));
    opened("a folder is asked for", open("file", O_RDONLY | O_DIRECTORY));
    opened("a folder is there", open("folder", O_RDONLY | O_DIRECTORY));
    opened("below a file", open("file/below", O_RDONLY));
    opened("a file with a slash", open("file/", O_RDONLY));
    opened("create with a slash", open("new/", O_CREAT | O_RDWR, 0644));
    opened("no name", open("", O_RDONLY));
    opened("a missing folder", open("missing/file", O_CREAT | O_RDWR, 0644));
    opened("by dots", open("folder/../folder/./../file", O_RDONLY));
    opened("a wrong address", open((char *)8, O_RDONLY));
    char name[NAME_MAX + 2];
    memset(name, 'n', sizeof name - 1);
    name[NAME_MAX + 1] = 0;
    opened("too long a name", open(name, O_CREAT | O_RDWR, 0644));
    name[NAME_MAX] = 0;
    opened("the longest name", open(name, O_CREAT | O_RDWR, 0644));
    answer("unlink it", unlink(name));
    char path[PATH_MAX + 10];
    memset(path, '/', sizeof path - 1);
    path[PATH_MAX + 9] = 0;
    opened("too long a path", open(path, O_RDONLY));

    int fd = open("file", O_RDWR | O_TRUNC);
    answer("truncated", lseek(fd, 0, SEEK_END));
    close(fd);
    fd = open("file", O_WRONLY | O_APPEND);
    answer("append", write(fd, "abc", 3));
    answer("seek", lseek(fd, 0, SEEK_SET));
    answer("append", write(fd, "def", 3));
    answer("the position", lseek(fd, 0, SEEK_CUR));
    // musl 1.2.6 asks Linux not to append.
    answer("at a place", syscall(SYS_pwrite64, fd, "ghi", 3, 0));
    close(fd);
    show_file("file");
    fd = open("file", O_RDONLY);
    answer("write what is read only", write(fd, "x", 1));
    answer("truncate it", ftruncate(fd, 0));
    close(fd);
    fd = open("file", O_WRONLY);
    answer("read what is write only", read(fd, path, 1));
    answer("its flags", fcntl(fd, F_GETFL) & O_ACCMODE);
    close(fd);
    unlink("file");
    rmdir("folder");
}

static void renames(void)
{
    write_file("one", "1");
    write_file("two", "2");
    mkdir("folder", 0755);
    mkdir("full", 0755);
    write_file("full/file", "3");
    answer("over a file, not", renameat2(AT_FDCWD, "one", AT_FDCWD, "two", RENAME_NOREPLACE));
    answer("exchange", renameat2(AT_FDCWD, "one", AT_FDCWD, "two", RENAME_EXCHANGE));
    show_file("one");
    show_file("two");
    answer("exchange with a folder", renameat2(AT_FDCWD, "one", AT_FDCWD, "full", RENAME_EXCHANGE));
    show_file("one/file");
    answer("and again", renameat2(AT_FDCWD, "one", AT_FDCWD, "full", RENAME_EXCHANGE));
    answer("exchange what is missing",
           renameat2(AT_FDCWD, "one", AT_FDCWD, "missing", RENAME_EXCHANGE));
    answer("both flags",
           renameat2(AT_FDCWD, "one", AT_FDCWD, "two", RENAME_EXCHANGE | RENAME_NOREPLACE));
    answer("a wrong flag", renameat2(AT_FDCWD, "one", AT_FDCWD, "two", 64));
    answer("a file over a folder", rename("one", "folder"));
    answer("a folder over a file", rename("folder", "one"));
    answer("over a full folder", rename("folder", "full"));
    answer("over an empty folder", rename("full", "folder"));
    show_file("folder/file");
    answer("into itself", rename("folder", "folder/below"));
    answer("onto itself", rename("one", "one"));
    answer("what is missing", rename("missing", "one"));
    answer("a dot", rename("folder/.", "other"));
    answer("over a file", rename("one", "two"));
    answer("the old name", access("one", F_OK));
    unlink("folder/file");
    rmdir("folder");
    unlink("two");
}

static void links(void)
{
    struct stat status;
    char text[64];
    write_file("file", "text");
    mkdir("folder", 0755);
    answer("link", link("file", "second"));
    stat("second", &status);
    answer("number of links", status.st_nlink);
    answer("link over a name", link("file", "second"));
    answer("link a folder", link("folder", "third"));
    answer("unlink one", unlink("file"));
    show_file("second");
    answer("symlink", symlink("second", "symbol"));
    answer("symlink over a name", symlink("other", "symbol"));
    answer("readlink", readlink("symbol", text, sizeof text));
    answer("readlink, cut", readlink("symbol", text, 3));
    answer("readlink of a file", readlink("second", text, sizeof text));
    show_file("symbol");
    opened("not followed", open("symbol", O_RDONLY | O_NOFOLLOW));
    answer("lstat", lstat("symbol", &status));
    answer("it is a link", S_ISLNK(status.st_mode));
    answer("its size", status.st_size);
    answer("link to a link", linkat(AT_FDCWD, "symbol", AT_FDCWD, "third", 0));
    lstat("third", &status);
    answer("is a link", S_ISLNK(status.st_mode));
    answer("link by a link",
           linkat(AT_FDCWD, "symbol", AT_FDCWD, "fourth", AT_SYMLINK_FOLLOW));
    lstat("fourth", &status);
    answer("is a link", S_ISLNK(status.st_mode));
    answer("unlink a link", unlink("symbol"));
    show_file("second");
    answer("dangling", symlink("missing", "symbol"));
    opened("open it", open("symbol", O_RDONLY));
    opened("create it, not", open("symbol", O_CREAT | O_EXCL | O_RDWR, 0644));
    opened("create by it", open("symbol", O_CREAT | O_RDWR, 0644));
    answer("is there", access("missing", F_OK));
    answer("a loop", symlink("loop", "loop"));
    opened("open it", open("loop", O_RDONLY));
    answer("to a folder", symlink("folder", "way"));
    write_file("way/file", "by a link");
    show_file("folder/file");
    answer("remove by it", rmdir("way"));
    answer("unlink with a slash", unlink("folder/file/"));
    const char *all[] = { "folder/file", "second", "third", "fourth", "symbol", "missing", "loop",
                          "way" };
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
        answer(all[i], unlink(all[i]));
    answer("unlink a folder", unlink("folder"));
    answer("rmdir", rmdir("folder"));
}

static void by_descriptor(void)
{
    struct stat status;
    char text[64];
    mkdir("folder", 0755);
    int folder = open("folder", O_RDONLY | O_DIRECTORY);
    int fd = openat(folder, "file", O_CREAT | O_RDWR, 0644);
    answer("openat", fd < 0 ? -1 : 0);
    answer("write", write(fd, "text", 4));
    show_file("folder/file");
    answer("a file is no folder", openat(fd, "below", O_RDONLY));
    answer("a wrong descriptor", openat(99, "file", O_RDONLY));
    answer("an absolute path", faccessat(99, "/", F_OK, 0));
    answer("mkdirat", mkdirat(folder, "below", 0755));
    answer("fstatat", fstatat(folder, "file", &status, 0));
    answer("its size", status.st_size);
    answer("of itself", fstatat(fd, "", &status, AT_EMPTY_PATH));
    answer("not of itself", fstatat(fd, "", &status, 0));
    answer("linkat", linkat(folder, "file", folder, "below/second", 0));
    answer("symlinkat", symlinkat("file", folder, "symbol"));
    answer("readlinkat", readlinkat(folder, "symbol", text, sizeof text));
    answer("renameat", renameat(folder, "below/second", folder, "third"));
    answer("faccessat", faccessat(folder, "third", R_OK | W_OK, 0));
    answer("faccessat", faccessat(folder, "below/second", F_OK, 0));
    answer("unlinkat a folder", unlinkat(folder, "below", 0));
    answer("unlinkat as a folder", unlinkat(folder, "file", AT_REMOVEDIR));
    answer("unlinkat", unlinkat(folder, "below", AT_REMOVEDIR));
    answer("unlinkat", unlinkat(folder, "third", 0));
    answer("unlinkat", unlinkat(folder, "symbol", 0));
    answer("a wrong flag", unlinkat(folder, "file", 0x10000));
    answer("a wrong flag", linkat(folder, "file", folder, "new", 0x10000));
    answer("a wrong flag", fstatat(folder, "file", &status, 0x10000));
    answer("a wrong flag", faccessat(folder, "file", F_OK, 0x10000));
    answer("a wrong flag", fchownat(folder, "file", 0, 0, 0x10000));
    answer("a wrong flag", utimensat(folder, "file", NULL, 0x10000));
    answer("the same mode", fchmodat(folder, "file", 0644, AT_SYMLINK_NOFOLLOW));
    answer("owner by itself", fchownat(fd, "", 0, 0, AT_EMPTY_PATH));
    answer("times by itself", utimensat(fd, "", NULL, AT_EMPTY_PATH));
    answer("unlink what is open", unlinkat(folder, "file", 0));
    answer("it is still there", pread(fd, text, sizeof text, 0));
    answer("fstat", fstat(fd, &status));
    answer("number of links", status.st_nlink);
    close(fd);
    answer("fchdir", fchdir(folder));
    answer("in it", access("../folder", F_OK));
    answer("back", chdir(".."));
    answer("rmdir of what is open", rmdir("folder"));
    opened("in what is gone", openat(folder, "file", O_CREAT | O_RDWR, 0644));
    close(folder);
}

value test_names(value unit)
{
    flags();
    renames();
    links();
    by_descriptor();
    return unit;
}
