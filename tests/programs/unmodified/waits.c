/* The three functions that take a signal which is blocked. */

#include <caml/mlvalues.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void answer(const char *what, int result)
{
    printf("%s: %s\n", what, result < 0 ? errno == EAGAIN ? "no" : strerror(errno) : result == SIGUSR1 ? "USR1" : "another");
}

value test_signal_waits(value unit)
{
    sigset_t set;
    siginfo_t information;
    const struct timespec soon = { .tv_nsec = 1000000 };
    int number = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    kill(getpid(), SIGUSR1);
    answer("sigwaitinfo", sigwaitinfo(&set, &information));
    kill(getpid(), SIGUSR1);
    answer("sigtimedwait", sigtimedwait(&set, &information, &soon));
    answer("sigtimedwait without a signal", sigtimedwait(&set, &information, &soon));
    kill(getpid(), SIGUSR1);
    printf("sigwait: %d\n", sigwait(&set, &number));
    answer("its signal", number);
    fflush(stdout);
    return unit;
}
