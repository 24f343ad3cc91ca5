/* poll, ppoll and FIONREAD. */

#define _GNU_SOURCE
#include "calls.h"
#include <caml/mlvalues.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void events(const char *name, int fd, short wanted)
{
    struct pollfd entry = { .fd = fd, .events = wanted, .revents = 0x55 };
    int result = poll(&entry, 1, 0);
    printf("%s: %d, %#x\n", name, result, (unsigned)entry.revents);
    fflush(stdout);
}

static int seen;

static void on_signal(int signal)
{
    (void)signal;
    seen++;
}

value test_polls(value unit)
{
    const short all = POLLIN | POLLOUT | POLLPRI | POLLRDNORM | POLLWRNORM | POLLRDHUP;
    int ends[2], waiting = -1;
    answer("pipe", pipe(ends));
    events("empty, to read", ends[0], all);
    events("empty, to write", ends[1], all);
    answer("write", write(ends[1], "hello", 5));
    answer("FIONREAD", ioctl(ends[0], FIONREAD, &waiting));
    printf("waiting: %d\n", waiting);
    events("five bytes, to read", ends[0], all);
    events("five bytes, for nothing", ends[0], 0);
    close(ends[1]);
    events("five bytes, closed", ends[0], all);
    char bytes[8];
    answer("read", read(ends[0], bytes, sizeof bytes));
    events("the end", ends[0], all);
    events("the end, for nothing", ends[0], 0);
    answer("read at the end", read(ends[0], bytes, sizeof bytes));
    close(ends[0]);
    events("closed", ends[0], all);
    events("negative", -1, all);

    answer("pipe", pipe(ends));
    close(ends[0]);
    events("no reader", ends[1], all);
    events("no reader, for nothing", ends[1], 0);
    close(ends[1]);

    int null = open("/dev/null", O_RDWR);
    events("/dev/null", null, all);
    close(null);
    int directory = open("/", O_RDONLY);
    events("a directory", directory, all);
    close(directory);

    answer("no descriptors", poll(NULL, 0, 1));
    struct pollfd *volatile nowhere = (struct pollfd *)8;
    answer("no memory", poll(nowhere, 1, 0));

    answer("pipe", pipe(ends));
    struct pollfd two[2] = { { .fd = ends[0], .events = POLLIN }, { .fd = ends[1], .events = POLLIN } };
    answer("nothing in time", poll(two, 2, 10));
    two[1].events = POLLOUT;
    answer("one of two", poll(two, 2, -1));
    printf("revents: %#x %#x\n", (unsigned)two[0].revents, (unsigned)two[1].revents);

    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    sigaction(SIGUSR2, &action, NULL);
    sigset_t blocked, open;
    sigemptyset(&open);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR2);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    raise(SIGUSR2);
    struct timespec ms = { .tv_nsec = 1000000 };
    two[1].events = POLLIN;
    answer("ppoll with the signal blocked", ppoll(two, 2, &ms, NULL));
    printf("seen: %d\n", seen);
    answer("ppoll with another mask", ppoll(two, 2, NULL, &open));
    printf("seen: %d\n", seen);
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    printf("blocked again: %d\n", sigismember(&now, SIGUSR2));
    sigprocmask(SIG_UNBLOCK, &blocked, NULL);
    struct timespec wrong = { .tv_nsec = 1000000000 };
    answer("ppoll with a wrong time", ppoll(two, 2, &wrong, NULL));
    close(ends[0]);
    close(ends[1]);
    return unit;
}
