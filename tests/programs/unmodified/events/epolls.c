/* epoll, eventfd, timerfd and signalfd. */

#define _GNU_SOURCE
#include "answers.h"
#include <caml/mlvalues.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

static int control(int set, int operation, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = { .events = events, .data.u64 = data };
    return epoll_ctl(set, operation, fd, &event);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = ((const struct epoll_event *)a)->data.u64;
    uint64_t y = ((const struct epoll_event *)b)->data.u64;
    return x < y ? -1 : x > y;
}

/* Prints what epoll_wait finds, in the order of the data. */
static void wait_for(const char *name, int set, int timeout)
{
    struct epoll_event events[8];
    int n = epoll_wait(set, events, 8, timeout);
    if (n < 0) {
        answer(name, n);
        return;
    }
    qsort(events, n, sizeof events[0], compare);
    printf("%s:", name);
    for (int i = 0; i < n; i++)
        printf(" %#llx=%#x", (unsigned long long)events[i].data.u64, events[i].events);
    printf("\n");
    fflush(stdout);
}

static void errors(void)
{
    int ends[2], set = epoll_create1(EPOLL_CLOEXEC);
    answer("pipe", pipe(ends));
    answer("epoll_create1 with a wrong flag", epoll_create1(1));
    answer("fcntl", fcntl(set, F_GETFD));
    answer("add", control(set, EPOLL_CTL_ADD, ends[0], EPOLLIN, 1));
    answer("add again", control(set, EPOLL_CTL_ADD, ends[0], EPOLLIN, 1));
    answer("modify another", control(set, EPOLL_CTL_MOD, ends[1], EPOLLIN, 1));
    answer("remove another", control(set, EPOLL_CTL_DEL, ends[1], 0, 1));
    answer("add a closed one", control(set, EPOLL_CTL_ADD, 99, EPOLLIN, 1));
    answer("add to a closed one", control(99, EPOLL_CTL_ADD, ends[0], EPOLLIN, 1));
    answer("add to a pipe", control(ends[0], EPOLL_CTL_ADD, ends[1], EPOLLIN, 1));
    answer("add itself", control(set, EPOLL_CTL_ADD, set, EPOLLIN, 1));
    answer("another operation", control(set, 77, ends[0], EPOLLIN, 1));
    answer("no event", epoll_ctl(set, EPOLL_CTL_ADD, ends[1], NULL));
    int root = open("/", O_RDONLY);
    answer("add a directory", control(set, EPOLL_CTL_ADD, root, EPOLLIN, 1));
    close(root);
    struct epoll_event event;
    answer("room for none", epoll_wait(set, &event, 0, 0));
    volatile int negative = -1;
    answer("negative room", epoll_wait(set, &event, negative, 0));
    answer("wait for a pipe", epoll_wait(ends[0], &event, 1, 0));
    answer("exclusive", control(set, EPOLL_CTL_ADD, ends[1], EPOLLOUT | EPOLLEXCLUSIVE, 2));
    answer("modify exclusive", control(set, EPOLL_CTL_MOD, ends[1], EPOLLOUT, 2));
    wait_for("exclusive", set, 0);
    int other = epoll_create1(0);
    answer("a set in a set", control(other, EPOLL_CTL_ADD, set, EPOLLIN, 3));
    answer("in turn", control(set, EPOLL_CTL_ADD, other, EPOLLIN, 3));
    wait_for("outer", other, 0);
    answer("remove", control(set, EPOLL_CTL_DEL, ends[1], 0, 0));
    wait_for("outer, nothing", other, 0);
    char byte = 0;
    answer("read a set", read(set, &byte, 1));
    answer("write", write(ends[1], "x", 1));
    wait_for("outer, inner ready", other, -1);
    close(set);
    wait_for("inner closed", other, 0);
    close(other);
    int sets[8];
    for (int i = 0; i < 8; i++)
        sets[i] = epoll_create1(0);
    for (int i = 1; i < 4; i++)
        answer("nest", control(sets[i], EPOLL_CTL_ADD, sets[i - 1], EPOLLIN, 1));
    for (int i = 0; i < 8; i++)
        close(sets[i]);
    close(ends[0]);
    close(ends[1]);
}

static void triggers(void)
{
    char bytes[8];
    int ends[2], set = epoll_create1(0);
    answer("pipe", pipe2(ends, O_NONBLOCK));
    control(set, EPOLL_CTL_ADD, ends[0], EPOLLIN, 0x1234567890);
    control(set, EPOLL_CTL_ADD, ends[1], EPOLLOUT | EPOLLET, 2);
    wait_for("a new pipe", set, 0);
    wait_for("edge, reported", set, 0);
    write(ends[1], "ab", 2);
    wait_for("level", set, -1);
    wait_for("level again", set, -1);
    control(set, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLET, 1);
    wait_for("edge, after a change of the entry", set, -1);
    wait_for("edge, nothing new", set, 5);
    write(ends[1], "c", 1);
    wait_for("edge, more", set, -1);
    read(ends[0], bytes, 8);
    write(ends[1], "d", 1);
    wait_for("edge, emptied and filled", set, -1);
    wait_for("edge, nothing new again", set, 0);
    control(set, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLONESHOT, 1);
    wait_for("one shot", set, -1);
    wait_for("one shot, over", set, 0);
    control(set, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLONESHOT, 1);
    wait_for("one shot, again", set, -1);
    control(set, EPOLL_CTL_MOD, ends[0], 0, 1);
    wait_for("for nothing", set, 0);
    close(ends[1]);
    wait_for("for nothing, hung up", set, -1);
    int copy = dup(ends[0]);
    close(ends[0]);
    wait_for("closed, with a duplicate", set, 0);
    close(copy);
    wait_for("closed", set, 0);
    answer("pipe", pipe(ends));
    control(set, EPOLL_CTL_ADD, ends[0], EPOLLIN, 5);
    wait_for("a new one of the same number", set, 0);
    struct epoll_event one;
    int many[6];
    for (int i = 0; i < 6; i++) {
        many[i] = eventfd(1, 0);
        control(set, EPOLL_CTL_ADD, many[i], EPOLLIN, i);
    }
    unsigned turns = 0;
    for (int i = 0; i < 6; i++)
        if (epoll_wait(set, &one, 1, 0) == 1)
            turns |= 1u << one.data.u64;
    printf("each has its turn: %#x\n", turns);
    for (int i = 0; i < 6; i++)
        close(many[i]);
    close(ends[0]);
    close(ends[1]);
    close(set);
}

static void *count(void *fd)
{
    uint64_t number = 7;
    usleep(20000);
    if (write(*(int *)fd, &number, 8) != 8)
        perror("write");
    return NULL;
}

static void counters(void)
{
    uint64_t number = 0;
    int fd = eventfd(3, EFD_NONBLOCK);
    answer("eventfd with a wrong flag", eventfd(0, 0x100000));
    answer("read", read(fd, &number, 8));
    printf("number: %llu\n", (unsigned long long)number);
    answer("read at 0", read(fd, &number, 8));
    answer("read of 4 bytes", read(fd, &number, 4));
    number = UINT64_MAX;
    answer("write too much", write(fd, &number, 8));
    number = UINT64_MAX - 1;
    answer("write the most", write(fd, &number, 8));
    number = 1;
    answer("write one more", write(fd, &number, 8));
    answer("write of 4 bytes", write(fd, &number, 4));
    struct stat stat;
    answer("fstat", fstat(fd, &stat));
    printf("mode: %o\n", stat.st_mode);
    close(fd);
    fd = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
    for (int i = 0; i < 3; i++) {
        number = 0;
        answer("semaphore", read(fd, &number, 8));
        printf("number: %llu\n", (unsigned long long)number);
    }
    close(fd);
    fd = eventfd(0, 0);
    pthread_t thread;
    pthread_create(&thread, NULL, count, &fd);
    answer("read, written later", read(fd, &number, 8));
    printf("number: %llu\n", (unsigned long long)number);
    pthread_join(thread, NULL);
    int set = epoll_create1(0);
    control(set, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET, 1);
    pthread_create(&thread, NULL, count, &fd);
    wait_for("epoll_wait, written later", set, -1);
    pthread_join(thread, NULL);
    pthread_create(&thread, NULL, count, &fd);
    wait_for("edge, written again later", set, 60000);
    pthread_join(thread, NULL);
    close(fd);
    close(set);
}

static struct itimerspec spec(long interval_ms, long value_ms)
{
    struct itimerspec spec = {
        .it_interval = { interval_ms / 1000, interval_ms % 1000 * 1000000 },
        .it_value = { value_ms / 1000, value_ms % 1000 * 1000000 },
    };
    return spec;
}

static void timers(void)
{
    uint64_t number = 0;
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    answer("timerfd of no clock", timerfd_create(77, 0));
    answer("timerfd with a wrong flag", timerfd_create(CLOCK_REALTIME, 1));
    answer("read, not set", read(fd, &number, 8));
    struct itimerspec set = spec(0, 5), old = spec(9, 9);
    answer("set", timerfd_settime(fd, 0, &set, &old));
    printf("old: %ld %ld\n", old.it_value.tv_nsec, old.it_interval.tv_nsec);
    struct pollfd entry = { .fd = fd, .events = POLLIN };
    answer("poll", poll(&entry, 1, -1));
    answer("read of 4 bytes", read(fd, &number, 4));
    answer("read", read(fd, &number, 8));
    printf("number: %llu\n", (unsigned long long)number);
    answer("read again", read(fd, &number, 8));
    answer("get", timerfd_gettime(fd, &old));
    printf("left: %ld\n", old.it_value.tv_nsec);
    set.it_value.tv_nsec = 1000000000;
    answer("set a wrong time", timerfd_settime(fd, 0, &set, NULL));
    set = spec(0, 1);
    answer("set an absolute time that has passed", timerfd_settime(fd, TFD_TIMER_ABSTIME, &set, NULL));
    answer("poll", poll(&entry, 1, -1));
    answer("set with a wrong flag", timerfd_settime(fd, 8, &set, NULL));
    set = spec(0, 0);
    answer("set to nothing", timerfd_settime(fd, 0, &set, NULL));
    answer("poll", poll(&entry, 1, 5));
    close(fd);

    fd = timerfd_create(CLOCK_REALTIME, 0);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    set = spec(2, 0);
    set.it_value = now;
    int flags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;
    answer("set to now", timerfd_settime(fd, flags, &set, NULL));
    for (int i = 0; i < 3; i++)
        answer("periodic", read(fd, &number, 8));
    int epoll = epoll_create1(0);
    control(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, 1);
    wait_for("periodic in epoll", epoll, -1);
    close(epoll);
    answer("settime of another", timerfd_settime(1, 0, &set, NULL));
    answer("settime of a closed one", timerfd_settime(99, 0, &set, NULL));
    close(fd);
}

static void *send_signal(void *unused)
{
    (void)unused;
    usleep(20000);
    kill(getpid(), SIGUSR1);
    return NULL;
}

static void signals(void)
{
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, &before);
    int fd = signalfd(-1, &set, SFD_NONBLOCK);
    struct signalfd_siginfo records[3];
    answer("signalfd with a wrong flag", signalfd(-1, &set, 1));
    answer("signalfd of another", signalfd(1, &set, 0));
    answer("read, nothing pending", read(fd, records, sizeof records));
    answer("read of 4 bytes", read(fd, records, 4));
    raise(SIGUSR2);
    kill(getpid(), SIGUSR1);
    struct pollfd entry = { .fd = fd, .events = POLLIN };
    answer("poll", poll(&entry, 1, 0));
    long length = read(fd, records, sizeof records);
    answer("read", length);
    unsigned numbers = 0;
    for (int i = 0; i < length / (long)sizeof records[0]; i++)
        numbers |= 1u << records[i].ssi_signo;
    printf("signals: %#x\n", numbers);
    answer("poll", poll(&entry, 1, 0));
    pthread_t thread;
    pthread_create(&thread, NULL, send_signal, NULL);
    answer("poll, sent later", poll(&entry, 1, -1));
    pthread_join(thread, NULL);
    sigdelset(&set, SIGUSR1);
    answer("another set", signalfd(fd, &set, 0) == fd);
    answer("read", read(fd, records, sizeof records));
    sigaddset(&set, SIGUSR1);
    signalfd(fd, &set, 0);
    answer("read", read(fd, records, sizeof records));
    close(fd);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static volatile sig_atomic_t broken;

static void on_broken(int signal)
{
    (void)signal;
    broken++;
}

static void broken_pipes(void)
{
    int ends[2];
    struct sigaction action = { .sa_handler = on_broken }, before;
    sigaction(SIGPIPE, &action, &before);
    answer("pipe", pipe(ends));
    close(ends[0]);
    answer("write without a reader", write(ends[1], "x", 1));
    printf("SIGPIPE: %d\n", (int)broken);
    signal(SIGPIPE, SIG_IGN);
    answer("write without a reader, ignored", write(ends[1], "x", 1));
    printf("SIGPIPE: %d\n", (int)broken);
    sigaction(SIGPIPE, &before, NULL);
    close(ends[1]);
}

value test_epolls(value unit)
{
    errors();
    triggers();
    counters();
    timers();
    signals();
    broken_pipes();
    return unit;
}
