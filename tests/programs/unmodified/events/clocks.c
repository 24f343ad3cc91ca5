/* timer_create and its like, and the clocks of processor time. */

#define _GNU_SOURCE
#include "answers.h"
#include <caml/mlvalues.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static const long ms = 1000000;

static struct itimerspec every(long interval_ns, long value_ns)
{
    struct itimerspec spec = {
        .it_interval = { interval_ns / 1000000000, interval_ns % 1000000000 },
        .it_value = { value_ns / 1000000000, value_ns % 1000000000 },
    };
    return spec;
}

static void nap(long ns)
{
    struct timespec left = { ns / 1000000000, ns % 1000000000 };
    while (nanosleep(&left, &left) < 0)
        ;
}

static void told(const char *name, int holds)
{
    printf("%s: %s\n", name, holds ? "yes" : "no");
    fflush(stdout);
}

static sigset_t one(int signal)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    return set;
}

static void errors(void)
{
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
    timer_t timer;
    answer("a timer of no clock", timer_create(77, &event, &timer));
    answer("a timer of a clock to be read", timer_create(CLOCK_MONOTONIC_RAW, &event, &timer));
    event.sigev_notify = 77;
    answer("a wrong notification", timer_create(CLOCK_MONOTONIC, &event, &timer));
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = 99;
    answer("a wrong signal", timer_create(CLOCK_MONOTONIC, &event, &timer));
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGUSR1;
    event.sigev_notify_thread_id = 3999999;
    answer("a missing thread", timer_create(CLOCK_MONOTONIC, &event, &timer));
    answer("a timer", timer_create(CLOCK_MONOTONIC, NULL, &timer));
    struct itimerspec spec = every(0, 0), old = every(9, 9);
    spec.it_value.tv_nsec = 1000000000;
    answer("a wrong time", timer_settime(timer, 0, &spec, &old));
    spec.it_value.tv_nsec = -1;
    answer("a negative time", timer_settime(timer, 0, &spec, &old));
    answer("not set", timer_gettime(timer, &old));
    told("nothing left", old.it_value.tv_sec == 0 && old.it_value.tv_nsec == 0);
    answer("overrun", timer_getoverrun(timer));
    answer("delete", timer_delete(timer));
    answer("get a deleted one", timer_gettime(timer, &old));
    answer("delete it again", timer_delete(timer));
}

/* What sigwaitinfo says of the next signal of a timer. */
static void take(const char *name, int signal)
{
    sigset_t set = one(signal);
    siginfo_t info;
    int taken = sigwaitinfo(&set, &info);
    printf("%s: %d, by a timer %d, value %d, overrun %d\n", name, taken == signal,
           info.si_code == SI_TIMER, info.si_value.sival_int, info.si_overrun > 0);
    fflush(stdout);
}

static void waits(void)
{
    sigset_t set = one(SIGUSR1), before;
    pthread_sigmask(SIG_BLOCK, &set, &before);
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
    event.sigev_value.sival_int = 41;
    timer_t first, second;
    timer_create(CLOCK_MONOTONIC, &event, &first);
    event.sigev_value.sival_int = 42;
    timer_create(CLOCK_REALTIME, &event, &second);
    struct itimerspec spec = every(0, 5 * ms), left;
    answer("set", timer_settime(first, 0, &spec, NULL));
    take("once", SIGUSR1);
    timer_gettime(first, &left);
    told("it isn't set afterwards", left.it_value.tv_nsec == 0);
    spec = every(0, 1);
    answer("a time that has passed", timer_settime(second, TIMER_ABSTIME, &spec, NULL));
    take("by the other clock", SIGUSR1);
    spec = every(0, 1000 * ms);
    clock_gettime(CLOCK_REALTIME, &spec.it_value);
    spec.it_value.tv_sec += 100;
    answer("a time of day", timer_settime(second, TIMER_ABSTIME, &spec, NULL));
    spec = every(0, 0);
    answer("set to nothing", timer_settime(second, 0, &spec, &left));
    told("about that was left", left.it_value.tv_sec > 90 && left.it_value.tv_sec < 101);

    /* Both at once: each sends its own. */
    spec = every(0, ms);
    timer_settime(first, 0, &spec, NULL);
    timer_settime(second, 0, &spec, NULL);
    nap(20 * ms);
    siginfo_t info;
    int sum = 0;
    for (int i = 0; i < 2; i++)
        if (sigwaitinfo(&set, &info) == SIGUSR1)
            sum += info.si_value.sival_int;
    printf("values of both: %d\n", sum);
    struct timespec none = { 0, 0 };
    answer("no third", sigtimedwait(&set, &info, &none));

    spec = every(ms, ms);
    timer_settime(first, 0, &spec, NULL);
    nap(20 * ms);
    take("late", SIGUSR1);
    told("timer_getoverrun says so", timer_getoverrun(first) > 0);
    answer("again", sigwaitinfo(&set, &info) == SIGUSR1);
    timer_delete(first);
    timer_delete(second);
    while (sigtimedwait(&set, &info, &none) == SIGUSR1)
        ;

    event.sigev_value.sival_int = 43;
    timer_create(CLOCK_MONOTONIC, &event, &first);
    int fd = signalfd(-1, &set, 0);
    spec = every(0, 5 * ms);
    timer_settime(first, 0, &spec, NULL);
    struct signalfd_siginfo record;
    answer("by signalfd", read(fd, &record, sizeof record));
    printf("by a timer: %d, value %d\n", record.ssi_code == SI_TIMER, (int)record.ssi_int);
    close(fd);
    timer_delete(first);

    /* SIGCHLD is ignored by default, but kept while it is blocked. */
    sigset_t child = one(SIGCHLD);
    struct timespec limit = { 20, 0 };
    pthread_sigmask(SIG_BLOCK, &child, NULL);
    event.sigev_signo = SIGCHLD;
    timer_create(CLOCK_MONOTONIC, &event, &first);
    timer_settime(first, 0, &spec, NULL);
    told("an ignored signal that is blocked", sigtimedwait(&child, &info, &limit) == SIGCHLD);
    timer_delete(first);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static volatile sig_atomic_t handled, handled_value, code, overrun;

static void handle(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    handled++;
    handled_value = info->si_value.sival_int;
    code = info->si_code == SI_TIMER;
    overrun = info->si_overrun;
}

static void spin_until(volatile sig_atomic_t *count, int least)
{
    while (*count < least)
        __asm__ volatile("" ::: "memory");
}

static void handlers(void)
{
    struct sigaction action = { .sa_sigaction = handle, .sa_flags = SA_SIGINFO }, before;
    sigaction(SIGUSR2, &action, &before);
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2 };
    event.sigev_value.sival_int = 44;
    timer_t timer;
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    struct itimerspec spec = every(2 * ms, 2 * ms), left;
    timer_settime(timer, 0, &spec, NULL);
    spin_until(&handled, 5);
    printf("handled while it computes: value %d, by a timer %d\n", (int)handled_value, (int)code);
    signal(SIGUSR2, SIG_IGN);
    nap(20 * ms);
    sigaction(SIGUSR2, &action, NULL);
    int now = handled;
    spin_until(&handled, now + 2);
    told("it goes on after signals were ignored", 1);
    sigset_t set = one(SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    nap(30 * ms);
    now = handled;
    timer_gettime(timer, &left);
    told("it is set while its signal waits", left.it_value.tv_nsec > 0);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    told("handled once for many", handled >= now + 1 && overrun >= 0);
    spec = every(0, 0);
    timer_settime(timer, 0, &spec, NULL);
    now = handled;
    nap(10 * ms);
    told("none after it was stopped", handled - now <= 1);
    timer_delete(timer);
    sigaction(SIGUSR2, &before, NULL);

    event.sigev_notify = SIGEV_NONE;
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    spec = every(0, 5 * ms);
    timer_settime(timer, 0, &spec, NULL);
    timer_gettime(timer, &left);
    told("a silent one counts", left.it_value.tv_nsec <= 5 * ms);
    nap(10 * ms);
    timer_gettime(timer, &left);
    told("to nothing", left.it_value.tv_nsec == 0);
    spec = every(5 * ms, 5 * ms);
    timer_settime(timer, 0, &spec, NULL);
    nap(12 * ms);
    timer_gettime(timer, &left);
    told("or again", left.it_value.tv_nsec > 0 && left.it_value.tv_nsec <= 5 * ms);
    timer_delete(timer);
}

static sem_t notified;
static volatile int notified_value;

static void notify(union sigval with)
{
    notified_value = with.sival_int;
    sem_post(&notified);
}

static timer_t of_thread;

static void *await_timer(void *unused)
{
    (void)unused;
    sigset_t set = one(SIGUSR1);
    struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };
    event.sigev_value.sival_int = 45;
    event.sigev_notify_thread_id = syscall(SYS_gettid);
    timer_create(CLOCK_MONOTONIC, &event, &of_thread);
    struct itimerspec spec = every(0, 20 * ms);
    timer_settime(of_thread, 0, &spec, NULL);
    siginfo_t info;
    int taken = sigwaitinfo(&set, &info);
    return (void *)(long)(taken == SIGUSR1 ? info.si_value.sival_int : -1);
}

static sem_t waiting;

static void *await_signal(void *unused)
{
    sigset_t set = one(SIGUSR2);
    int taken;
    sem_post(&waiting);
    return sigwait(&set, &taken) == 0 && taken == SIGUSR2 ? (void *)1 : unused;
}

static void threads(void)
{
    sem_init(&notified, 0, 0);
    struct sigevent event = { .sigev_notify = SIGEV_THREAD, .sigev_notify_function = notify };
    event.sigev_value.sival_int = 46;
    timer_t timer;
    answer("a timer with a thread", timer_create(CLOCK_MONOTONIC, &event, &timer));
    struct itimerspec spec = every(5 * ms, 5 * ms);
    answer("set", timer_settime(timer, 0, &spec, NULL));
    for (int i = 0; i < 3; i++)
        sem_wait(&notified);
    printf("notified: %d\n", notified_value);
    answer("delete", timer_delete(timer));

    sigset_t set = one(SIGUSR1), before;
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, &before);
    pthread_t thread, others[3];
    sem_init(&waiting, 0, 0);
    for (int i = 0; i < 3; i++) {
        pthread_create(&others[i], NULL, await_signal, NULL);
        sem_wait(&waiting);
        nap(5 * ms);
    }
    pthread_create(&thread, NULL, await_timer, NULL);
    void *result;
    pthread_join(thread, &result);
    printf("the thread that it names takes it: %ld\n", (long)result);
    timer_delete(of_thread);
    nap(10 * ms);
    /* Each in its turn, whichever of them waits for devices. */
    const int order[] = { 1, 2, 0 };
    for (int i = 0; i < 3; i++) {
        pthread_kill(others[order[i]], SIGUSR2);
        pthread_join(others[order[i]], &result);
        printf("a signal to a thread ends its sigwait: %ld\n", (long)result);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static long read_clock(clockid_t clock)
{
    struct timespec now;
    if (clock_gettime(clock, &now) < 0)
        return -1;
    return now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Computes for some time of the thread's own. */
static void *burn(void *ns)
{
    long end = read_clock(CLOCK_THREAD_CPUTIME_ID) + (long)ns;
    while (read_clock(CLOCK_THREAD_CPUTIME_ID) < end)
        ;
    return NULL;
}

static long usage(int who)
{
    struct rusage usage;
    if (getrusage(who, &usage) < 0)
        return -1;
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000
        + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

static volatile sig_atomic_t seen;

static void on_time(int signal)
{
    (void)signal;
    seen++;
}

/* A machine counts as its own the time that it isn't run. So what is less than a limit is measured
   again where it isn't: a clock that counts wrongly is never less. */
enum { TRIES = 20 };

static void processor_time(void)
{
    const clockid_t process = CLOCK_PROCESS_CPUTIME_ID, own = CLOCK_THREAD_CPUTIME_ID;
    long before, mine, both, alone;
    for (int i = 0; i < TRIES; i++) {
        before = read_clock(process);
        mine = read_clock(own);
        nap(300 * ms);
        both = read_clock(process) - before;
        alone = read_clock(own) - mine;
        if (both < 150 * ms && alone < 150 * ms)
            break;
    }
    told("the process's time stands still in a sleep", both < 150 * ms);
    told("the thread's too", alone < 150 * ms);
    pthread_t thread;
    clockid_t its, the_process;
    int found = 0;
    for (int i = 0; i < TRIES; i++) {
        before = read_clock(process);
        mine = read_clock(own);
        pthread_create(&thread, NULL, burn, (void *)(60 * ms));
        found |= pthread_getcpuclockid(thread, &its);
        pthread_join(thread, NULL);
        both = read_clock(process) - before;
        alone = read_clock(own) - mine;
        if (both < 60 * ms || alone < 60 * ms)
            break;
    }
    answer("pthread_getcpuclockid", found);
    told("the process's goes on with a thread's", both >= 60 * ms);
    told("another thread's doesn't", alone < 60 * ms);
    answer("a thread that has ended", read_clock(its));
    answer("clock_getcpuclockid", clock_getcpuclockid(getpid(), &the_process));
    before = read_clock(process);
    long between = read_clock(the_process);
    told("it is the process's", before <= between && between <= read_clock(process));
    told("none of another", clock_getcpuclockid(3999999, &the_process) != 0);
    pthread_getcpuclockid(pthread_self(), &its);
    mine = read_clock(own);
    between = read_clock(its);
    told("the own one by name", mine <= between && between <= read_clock(own));
    struct timespec time = { 0, 1 };
    answer("resolution", clock_getres(process, &time));
    answer("of a thread", clock_getres(its, NULL));
    answer("an unknown clock", clock_gettime(77, &time));
    told("no sleep by the thread's", clock_nanosleep(own, 0, &time, NULL) == EINVAL);
    told("nor by one to be read",
         clock_nanosleep(CLOCK_MONOTONIC_RAW, 0, &time, NULL) == EOPNOTSUPP);

    before = read_clock(process);
    between = usage(RUSAGE_SELF);
    told("getrusage agrees", between >= before - 10000 && between <= read_clock(process));
    told("and for the thread", usage(RUSAGE_THREAD) <= usage(RUSAGE_SELF));
    printf("children: %ld\n", usage(RUSAGE_CHILDREN));
    answer("a wrong who", usage(77));
    struct tms ticks;
    told("times", times(&ticks) != -1);
    long used = ticks.tms_utime + ticks.tms_stime;
    told("agrees too", used * 10 * ms <= read_clock(process) && (used + 2) * 10 * ms >= before);

    signal(SIGVTALRM, on_time);
    signal(SIGPROF, on_time);
    struct itimerval spec = { .it_value = { .tv_usec = 100000 } }, none = { 0 };
    for (int which = ITIMER_VIRTUAL; which <= ITIMER_PROF; which++) {
        for (int i = 0; i < TRIES; i++) {
            seen = 0;
            setitimer(which, &spec, NULL);
            nap(300 * ms);
            if (seen == 0)
                break;
        }
        told("no signal for a sleep", seen == 0);
        spin_until(&seen, 1);
        setitimer(which, &none, NULL);
    }
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGPROF };
    timer_t timer;
    const clockid_t clocks[] = { process, own };
    for (int i = 0; i < 2; i++) {
        answer("a timer of processor time", timer_create(clocks[i], &event, &timer));
        for (int j = 0; j < TRIES; j++) {
            seen = 0;
            struct itimerspec once = every(0, 100 * ms);
            timer_settime(timer, 0, &once, NULL);
            pthread_create(&thread, NULL, burn, (void *)(150 * ms));
            pthread_join(thread, NULL);
            if (seen == (clocks[i] == process))
                break;
        }
        told("another thread's time", seen == (clocks[i] == process));
        spin_until(&seen, 1);
        timer_delete(timer);
    }
    signal(SIGVTALRM, SIG_DFL);
    signal(SIGPROF, SIG_DFL);
}

value test_clocks(value unit)
{
    errors();
    waits();
    handlers();
    threads();
    processor_time();
    return unit;
}
