/* poll, ppoll and FIONREAD. */

#define _GNU_SOURCE
#include "answers.h"
#include <caml/mlvalues.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
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

/* What writes and reads of several pieces wait for. */
static void pieces(void)
{
    static char page[4096], many[(64 << 10) - 4095];
    char bytes[8];
    int ends[2];
    answer("pipe", pipe2(ends, O_NONBLOCK));
    answer("write", write(ends[1], "four", 4));
    fcntl(ends[0], F_SETFL, 0);
    struct iovec in[] = { { bytes, 4 }, { page, 100 } };
    answer("readv, of one piece", readv(ends[0], in, 2));
    struct iovec out[] = { { bytes, 3 }, { page, 0 }, { many, sizeof many - 4 }, { bytes, 1 } };
    answer("writev", writev(ends[1], out, 4));
    answer("read", read(ends[0], bytes, 3));
    answer("write", write(ends[1], page, 3));
    answer("fill", write(ends[1], page, 1));
    events("room for less than a page", ends[1], POLLOUT);
    answer("a page", write(ends[1], page, sizeof page));
    struct iovec half[] = { { page, 2048 }, { page, 2048 } };
    answer("a page of two pieces", writev(ends[1], half, 2));
    answer("nothing", write(ends[1], page, 0));
    answer("read", readv(ends[0], (struct iovec[]){ { many, 1 }, { many, sizeof many } }, 2));
    events("room for all", ends[1], POLLOUT);
    close(ends[0]);
    close(ends[1]);
}

value test_polls(value unit)
{
    pieces();
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
