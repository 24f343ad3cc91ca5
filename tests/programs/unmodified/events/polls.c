/* poll, ppoll and FIONREAD. */

#define _GNU_SOURCE
#include "answers.h"
#include <caml/mlvalues.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
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

/* What a call answers and leaves of its timeout. */
static void left(const char *name, long result, struct timespec time)
{
    answer(name, result);
    if (time.tv_sec == 0 && time.tv_nsec == 0)
        printf("left: nothing\n");
    else
        printf("left: %s of 1000 s\n", time.tv_sec >= 500 && time.tv_sec < 1000 ? "most" : "?");
    fflush(stdout);
}

/* The calls themselves replace a timeout by the remaining time; the C library passes a copy. */
static void remaining(void)
{
    const struct timespec long_time = { .tv_sec = 1000 }, short_time = { .tv_nsec = 1000000 };
    struct timespec time = short_time;
    fd_set set;
    FD_ZERO(&set);
    left("pselect6, in vain", syscall(SYS_pselect6, 0, NULL, NULL, NULL, &time, NULL), time);
    time = short_time;
    left("ppoll, in vain", syscall(SYS_ppoll, NULL, 0, &time, NULL, 8), time);
    int event = eventfd(1, 0);
    FD_SET(event, &set);
    time = long_time;
    left("pselect6", syscall(SYS_pselect6, event + 1, &set, NULL, NULL, &time, NULL), time);
    struct pollfd entry = { .fd = event, .events = POLLIN };
    time = long_time;
    left("ppoll", syscall(SYS_ppoll, &entry, 1, &time, NULL, 8), time);
    int closed = dup(event);
    close(closed);
    FD_SET(closed, &set);
    time = long_time;
    long result = syscall(SYS_pselect6, closed + 1, &set, NULL, NULL, &time, NULL);
    left("pselect6, not open", result, time);
    time = long_time;
    left("ppoll, no memory", syscall(SYS_ppoll, (void *)8, 1, &time, NULL, 8), time);
    sigset_t none;
    sigemptyset(&none);
    raise(SIGUSR2);
    time = long_time;
    left("ppoll, a signal", syscall(SYS_ppoll, NULL, 0, &time, &none, 8), time);
    raise(SIGUSR2);
    time = long_time;
    struct { const void *mask; size_t size; } mask = { &none, 8 };
    left("pselect6, a signal", syscall(SYS_pselect6, 0, NULL, NULL, NULL, &time, &mask), time);
    struct timespec *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *page = short_time;
    mprotect(page, 4096, PROT_READ);
    answer("pselect6, constant time", syscall(SYS_pselect6, 0, NULL, NULL, NULL, page, NULL));
    answer("ppoll, constant time", syscall(SYS_ppoll, NULL, 0, page, NULL, 8));
    munmap(page, 4096);
    close(event);
}

static void *add_later(void *set)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = 7 };
    usleep(20000);
    if (epoll_ctl(*(int *)set, EPOLL_CTL_ADD, eventfd(1, 0), &event) != 0)
        perror("epoll_ctl");
    return NULL;
}

/* Waits without a descriptor end by the time, by a signal and, of epoll, by a descriptor that
   another thread adds. SIGUSR2 is blocked. */
static void nothing(void)
{
    struct pollfd none[2] = { { -1, POLLIN, 0x55 }, { INT32_MIN, POLLOUT, 0x55 } };
    answer("negative ones in time", poll(none, 2, 5));
    printf("revents: %#x %#x\n", (unsigned)none[0].revents, (unsigned)none[1].revents);
    answer("negative ones at once", poll(none, 2, 0));
    sigset_t open;
    sigemptyset(&open);
    raise(SIGUSR2);
    answer("negative ones and a signal", ppoll(none, 2, NULL, &open));
    int set = epoll_create1(0);
    struct epoll_event event;
    answer("an empty set in time", epoll_wait(set, &event, 1, 5));
    answer("an empty set at once", epoll_wait(set, &event, 1, 0));
    raise(SIGUSR2);
    answer("an empty set and a signal", epoll_pwait(set, &event, 1, -1, &open));
    printf("seen: %d\n", seen);
    pthread_t thread;
    pthread_create(&thread, NULL, add_later, &set);
    answer("an empty set, added to later", epoll_wait(set, &event, 1, -1));
    printf("data: %d\n", (int)event.data.u64);
    pthread_join(thread, NULL);
    close(set);
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
    remaining();
    nothing();
    sigprocmask(SIG_UNBLOCK, &blocked, NULL);
    struct timespec wrong = { .tv_nsec = 1000000000 };
    answer("ppoll with a wrong time", ppoll(two, 2, &wrong, NULL));
    close(ends[0]);
    close(ends[1]);
    return unit;
}
