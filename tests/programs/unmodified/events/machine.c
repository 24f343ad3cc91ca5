/* What a program asks of the machine and of its limits; copies between descriptors. */

#define _GNU_SOURCE
#include "answers.h"
#include <caml/mlvalues.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static void told(const char *name, int holds)
{
    printf("%s: %s\n", name, holds ? "yes" : "no");
    fflush(stdout);
}

static void machine(void)
{
    struct sysinfo info;
    struct timespec now;
    answer("sysinfo", sysinfo(&info));
    clock_gettime(CLOCK_BOOTTIME, &now);
    told("its time is the clock's", labs(info.uptime - now.tv_sec) <= 2);
    told("its memory", info.totalram > 0 && info.freeram <= info.totalram && info.mem_unit > 0);
    told("its processes", info.procs > 0);
    answer("sysinfo to nowhere", syscall(SYS_sysinfo, 8));
    told("sysconf", sysconf(_SC_PHYS_PAGES) > 0 && sysconf(_SC_NPROCESSORS_ONLN) > 0);
    struct utsname name;
    answer("uname", uname(&name));
    printf("%s %s\n", name.sysname, name.machine);
    unsigned processor = 77, node = 77;
    answer("getcpu", syscall(SYS_getcpu, &processor, &node, NULL));
    told("its processor", processor < 77 && node < 77);
    cpu_set_t set;
    int length = syscall(SYS_sched_getaffinity, 0, sizeof set, &set);
    told("sched_getaffinity", length > 0 && CPU_COUNT(&set) > 0);
    answer("sched_setaffinity", syscall(SYS_sched_setaffinity, 0, length, &set));
    CPU_ZERO(&set);
    answer("to none", syscall(SYS_sched_setaffinity, 0, length, &set));
    struct sched_param param = { .sched_priority = 7 };
    answer("sched_getscheduler", syscall(SYS_sched_getscheduler, 0));
    answer("sched_getparam", syscall(SYS_sched_getparam, 0, &param));
    printf("priority: %d\n", param.sched_priority);
    answer("sched_setscheduler", syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &param));
    param.sched_priority = 1;
    answer("a priority of none", syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &param));
    answer("no such scheduler", syscall(SYS_sched_setscheduler, 0, 77, &param));
    answer("least", sched_get_priority_min(SCHED_FIFO));
    answer("highest", sched_get_priority_max(SCHED_RR));
    answer("of the ordinary one", sched_get_priority_max(SCHED_OTHER));
    answer("of none", sched_get_priority_max(77));
    told("getpgid", getpgid(0) == getpgid(getpid()));
    answer("of no process", getpgid(3999999));
    char page[64];
    answer("mlock", mlock(page, sizeof page));
    answer("munlock", munlock(page, sizeof page));
    answer("mlock of nothing", syscall(SYS_mlock, 4096, 4096));
    answer("an attribute of no file", getxattr("/none", "user.a", page, sizeof page));
    told("no attribute", fgetxattr(0, "user.a", page, sizeof page) < 0);
}

static void limits(void)
{
    struct rlimit limit, old, all;
    answer("getrlimit", getrlimit(RLIMIT_NOFILE, &all));
    told("the limits are in order", all.rlim_cur <= all.rlim_max);
    limit = (struct rlimit){ 2, 1 };
    answer("a soft one above the hard one", setrlimit(RLIMIT_NOFILE, &limit));
    limit = (struct rlimit){ 20, all.rlim_max };
    answer("setrlimit", setrlimit(RLIMIT_NOFILE, &limit));
    int highest = 0, fd;
    while ((fd = dup(0)) >= 0)
        highest = fd;
    answer("dup at the limit", fd);
    printf("highest: %d\n", highest);
    answer("dup2 above it", dup2(0, 20));
    answer("F_DUPFD above it", fcntl(0, F_DUPFD, 20));
    answer("prlimit", prlimit(0, RLIMIT_NOFILE, &all, &old));
    printf("was: %ld\n", (long)old.rlim_cur);
    answer("dup2 above it", dup2(0, 20));
    answer("close_range", syscall(SYS_close_range, 20, 20, 0));
    answer("it is closed", fcntl(20, F_GETFD));
    answer("of none", syscall(SYS_close_range, 20, ~0u, 0));
    answer("in a wrong order", syscall(SYS_close_range, 21, 20, 0));
    answer("at execve", syscall(SYS_close_range, highest, highest, 4));
    answer("flags", fcntl(highest, F_GETFD));
    /* Those that dup made are the last ones. */
    for (fd = highest; fd > 2 && fcntl(fd, F_GETFD) >= 0; fd--)
        close(fd);
    answer("getrlimit of nothing", syscall(SYS_getrlimit, 77, &limit));
    answer("prlimit of another", prlimit(3999999, RLIMIT_NOFILE, NULL, &old));
    limit = (struct rlimit){ 0, all.rlim_max };
    getrlimit(RLIMIT_CORE, &all);
    limit = (struct rlimit){ 0, all.rlim_max };
    answer("another limit", setrlimit(RLIMIT_CORE, &limit));
    getrlimit(RLIMIT_CORE, &old);
    told("it is kept", old.rlim_cur == 0 && old.rlim_max == all.rlim_max);
}

static void show(const char *name, int fd)
{
    char bytes[32] = "";
    long length = pread(fd, bytes, sizeof bytes - 1, 0);
    printf("%s: %ld, %s, at %ld\n", name, length, bytes, (long)lseek(fd, 0, SEEK_CUR));
    fflush(stdout);
}

static void copies(void)
{
    char names[3][32] = { "/tmp/copies-XXXXXX", "/tmp/copies-XXXXXX", "/tmp/copies-XXXXXX" };
    int from = mkstemp(names[0]), to = mkstemp(names[1]), ends[2];
    char bytes[16] = "";
    if (write(from, "0123456789", 10) != 10 || pipe(ends) < 0)
        abort();
    lseek(from, 2, SEEK_SET);
    answer("sendfile", sendfile(to, from, NULL, 5));
    show("from", from);
    show("to", to);
    off_t at = 8;
    answer("sendfile at an offset", sendfile(ends[1], from, &at, 100));
    printf("offset: %ld\n", (long)at);
    answer("into a pipe", read(ends[0], bytes, sizeof bytes));
    answer("sendfile at the end", sendfile(to, from, &at, 100));
    answer("sendfile of a pipe's end to read", sendfile(ends[0], from, NULL, 1));
    answer("sendfile of a closed one", sendfile(to, 99, NULL, 1));
    at = -1;
    answer("sendfile at a wrong offset", sendfile(to, from, &at, 1));
    int reader = open(names[0], O_RDONLY), appends = open(names[1], O_WRONLY | O_APPEND);
    answer("sendfile to a reader", sendfile(reader, from, NULL, 1));
    answer("sendfile from a writer", sendfile(to, appends, NULL, 1));
    answer("sendfile to an appender", sendfile(appends, from, NULL, 1));

    loff_t in = 1, out = 20;
    answer("copy_file_range", copy_file_range(from, &in, to, &out, 4, 0));
    printf("offsets: %ld %ld\n", (long)in, (long)out);
    lseek(from, 5, SEEK_SET);
    lseek(to, 0, SEEK_SET);
    answer("at the positions", copy_file_range(from, NULL, to, NULL, 3, 0));
    show("from", from);
    show("to", to);
    in = 0, out = 2;
    answer("over itself", copy_file_range(from, &in, from, &out, 4, 0));
    in = 0, out = 10;
    answer("behind itself", copy_file_range(from, &in, from, &out, 10, 0));
    show("from", from);
    answer("with a flag", copy_file_range(from, NULL, to, NULL, 3, 1));
    answer("into a pipe", copy_file_range(from, NULL, ends[1], NULL, 3, 0));
    answer("into an appender", copy_file_range(from, NULL, appends, NULL, 3, 0));
    int root = open("/", O_RDONLY);
    answer("of a directory", copy_file_range(root, NULL, to, NULL, 3, 0));
    /* More than is copied at once. */
    int large = mkstemp(names[2]);
    char *all = calloc(1, 300000);
    for (int i = 0; i < 300000; i++)
        all[i] = i % 251;
    answer("write", pwrite(large, all, 300000, 0));
    in = 7, out = 0;
    answer("much", copy_file_range(large, &in, to, &out, 400000, 0));
    int wrong = 0;
    char *copied = calloc(1, 300000);
    if (pread(to, copied, 300000, 0) != 299993)
        wrong = 1;
    for (int i = 0; i < 299993; i++)
        wrong |= copied[i] != all[i + 7];
    told("it is the same", !wrong);
    lseek(to, 0, SEEK_SET);
    lseek(large, 0, SEEK_SET);
    answer("sendfile of much", sendfile(to, large, NULL, 400000));
    if (pread(to, copied, 300000, 0) != 300000)
        wrong = 1;
    for (int i = 0; i < 300000; i++)
        wrong |= copied[i] != all[i];
    told("it is the same", !wrong);
    /* Into a pipe that has no room for all. */
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    in = 0;
    long sent = sendfile(ends[1], large, &in, 300000);
    told("as much as there is room for", sent > 0 && sent < 300000 && in == sent);
    answer("no room", sendfile(ends[1], large, &in, 300000));
    free(all);
    free(copied);

    struct iovec pieces[] = { { bytes, 3 }, { bytes + 3, 3 } };
    lseek(from, 1, SEEK_SET);
    answer("preadv2", preadv2(from, pieces, 2, -1, 0));
    printf("%.6s, at %ld\n", bytes, (long)lseek(from, 0, SEEK_CUR));
    answer("preadv2 at an offset", preadv2(from, pieces, 2, 4, 0));
    answer("with a flag", preadv2(from, pieces, 2, 4, 0x40000000));
    answer("pwritev2", pwritev2(from, pieces, 2, 0, 0));
    show("from", from);
    for (int i = 0; i < 3; i++)
        unlink(names[i]);
    int all_of_them[] = { from, to, large, reader, appends, root, ends[0], ends[1] };
    for (int i = 0; i < 8; i++)
        close(all_of_them[i]);
}

value test_machine(value unit)
{
    machine();
    limits();
    copies();
    return unit;
}
