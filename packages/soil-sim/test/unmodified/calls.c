/* Calls of the preloaded object that OCaml's libraries don't make, or not with all of their results.
   Each check is what Linux answers: the tests run it there, too, with the argument `linux`. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define CHECK(what)                                                                        \
  do {                                                                                     \
    if (!(what)) {                                                                         \
      printf("line %d: %s: %s\n", __LINE__, #what, strerror(errno));                       \
      exit(1);                                                                             \
    }                                                                                      \
  } while (0)
#define FAILS(what, error) CHECK((what) == -1 && errno == (error))

/* The port of the listener. */
static int server;

static char buffer[65536];
static volatile int sigpipes, signals;

static void on_sigpipe(int signal) {
  (void)signal;
  sigpipes++;
}

static void on_signal(int signal) {
  (void)signal;
  signals++;
}

static void on_late(int signal) {
  (void)signal;
  puts("late");
}

static struct sockaddr_in local(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

static int call(int (*f)(int, const struct sockaddr *, socklen_t), int fd, int port) {
  struct sockaddr_in address = local(port);
  return f(fd, (struct sockaddr *)&address, sizeof address);
}

/* Binds a socket to any port, which it returns. */
static int bind_any(int fd) {
  struct sockaddr_in own;
  socklen_t len = sizeof own;
  CHECK(call(bind, fd, 0) == 0 && getsockname(fd, (struct sockaddr *)&own, &len) == 0);
  return ntohs(own.sin_port);
}

static int is_ready(int fd, int events, int timeout) {
  struct pollfd polled = {.fd = fd, .events = events};
  int ready = poll(&polled, 1, timeout);
  CHECK(ready >= 0);
  return polled.revents;
}

static int error_of(int fd) {
  int error = -1;
  socklen_t len = sizeof error;
  CHECK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && len == sizeof error);
  return error;
}

static int64_t now_us(void) {
  struct timespec now;
  CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
  return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

/* A connected pair; the first one doesn't block. */
static void connected(int listener, int pair[2]) {
  pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  FAILS(call(connect, pair[0], server), EINPROGRESS);
  CHECK(is_ready(pair[0], POLLOUT, 10000) == POLLOUT);
  CHECK(error_of(pair[0]) == 0);
  struct sockaddr_in peer, own;
  socklen_t peer_len = sizeof peer, own_len = sizeof own;
  pair[1] = accept4(listener, (struct sockaddr *)&peer, &peer_len, SOCK_CLOEXEC);
  CHECK(pair[1] >= 0 && peer_len == sizeof peer);
  CHECK(getsockname(pair[0], (struct sockaddr *)&own, &own_len) == 0);
  CHECK(own.sin_port == peer.sin_port);
  CHECK(getpeername(pair[0], (struct sockaddr *)&own, &own_len) == 0);
  CHECK(ntohs(own.sin_port) == server);
}

static void test_streams(int listener) {
  int pair[2], unread;
  struct stat status;
  connected(listener, pair);
  CHECK(fstat(pair[0], &status) == 0 && S_ISSOCK(status.st_mode));
  FAILS(lseek(pair[0], 0, SEEK_CUR), ESPIPE);
  CHECK(fcntl(pair[0], F_GETFL) == (O_RDWR | O_NONBLOCK));
  CHECK(fcntl(pair[0], F_GETFD) == 0 && fcntl(pair[1], F_GETFD) == FD_CLOEXEC);
  FAILS(read(pair[0], buffer, 1), EAGAIN);
  CHECK(write(pair[1], "hello", 5) == 5);
  CHECK(recv(pair[0], buffer, 2, MSG_PEEK) == 2);
  CHECK(ioctl(pair[0], FIONREAD, &unread) == 0 && unread == 5);
  CHECK(recv(pair[0], buffer, 9, 0) == 5 && memcmp(buffer, "hello", 5) == 0);
  /* The connection ends with its last descriptor. */
  int copy = dup(pair[0]), high = fcntl(pair[0], F_DUPFD_CLOEXEC, 50);
  CHECK(high >= 50 && dup2(high, 60) == 60);
  CHECK(close(pair[0]) == 0 && close(high) == 0 && close(60) == 0);
  FAILS(write(pair[0], "x", 1), EBADF);
  CHECK(write(copy, "x", 1) == 1 && read(pair[1], buffer, 9) == 1);
  /* Each direction ends by itself. */
  CHECK(shutdown(copy, SHUT_WR) == 0 && read(pair[1], buffer, 9) == 0);
  CHECK(is_ready(pair[1], POLLIN | POLLRDHUP, 0) == (POLLIN | POLLRDHUP));
  FAILS(send(copy, "x", 1, MSG_NOSIGNAL), EPIPE);
  CHECK(sigpipes == 0);
  FAILS(write(copy, "x", 1), EPIPE);
  CHECK(sigpipes == 1);
  CHECK(write(pair[1], "bye", 3) == 3 && close(pair[1]) == 0);
  CHECK(is_ready(copy, POLLIN, 10000) & POLLIN);
  CHECK(read(copy, buffer, 9) == 3 && read(copy, buffer, 9) == 0 && close(copy) == 0);
  /* A reset. */
  struct linger at_once = {.l_onoff = 1, .l_linger = 0};
  connected(listener, pair);
  CHECK(setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
  CHECK(close(pair[1]) == 0 && is_ready(pair[0], POLLIN, 10000) & POLLIN);
  FAILS(read(pair[0], buffer, 1), ECONNRESET);
  CHECK(close(pair[0]) == 0);
}

static void test_refused(void) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), closed = socket(AF_INET, SOCK_STREAM, 0);
  FAILS(call(connect, fd, bind_any(closed)), ECONNREFUSED);
  CHECK(error_of(fd) == 0 && call(connect, fd, server) == 0 && close(fd) == 0);
  FAILS(close(fd), EBADF);
  CHECK(is_ready(fd, POLLIN, 0) == POLLNVAL);
}

static void test_bulk(int listener) {
  enum { TOTAL = 4 << 20 };
  int pair[2], written = 0, got = 0;
  connected(listener, pair);
  CHECK(fcntl(pair[1], F_SETFL, O_NONBLOCK) == 0);
  while (got < TOTAL) {
    struct pollfd polled[] = {{pair[0], written < TOTAL ? POLLOUT : 0, 0}, {pair[1], POLLIN, 0}};
    CHECK(poll(polled, 2, 1000) > 0);
    if (polled[0].revents) {
      ssize_t n = write(pair[0], buffer, sizeof buffer);
      CHECK(n > 0);
      written += n;
    }
    if (polled[1].revents) {
      ssize_t n = read(pair[1], buffer, sizeof buffer);
      CHECK(n > 0);
      got += n;
    }
  }
  CHECK(got == written && close(pair[0]) == 0 && close(pair[1]) == 0);
}

static void test_datagrams(void) {
  int one = socket(AF_INET, SOCK_DGRAM, 0), other = socket(AF_INET, SOCK_DGRAM, 0);
  int port = bind_any(one);
  struct sockaddr_in to = local(port), from;
  socklen_t len = sizeof from;
  CHECK(sendto(other, "two", 3, 0, (struct sockaddr *)&to, sizeof to) == 3);
  CHECK(recvfrom(one, buffer, 1, MSG_PEEK | MSG_TRUNC, NULL, NULL) == 3);
  CHECK(recvfrom(one, buffer, 9, 0, (struct sockaddr *)&from, &len) == 3 && len == sizeof from);
  CHECK(call(connect, other, port) == 0);
  struct iovec out[] = {{"abc", 3}, {"def", 3}}, in = {buffer, 4};
  struct msghdr sent = {.msg_iov = out, .msg_iovlen = 2};
  struct msghdr got = {.msg_iov = &in, .msg_iovlen = 1, .msg_name = &from, .msg_namelen = len};
  CHECK(sendmsg(other, &sent, 0) == 6);
  CHECK(recvmsg(one, &got, 0) == 4 && got.msg_flags == MSG_TRUNC && got.msg_namelen == len);
  struct timeval limit = {.tv_usec = 50000};
  CHECK(setsockopt(one, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
  int64_t before = now_us();
  FAILS(recv(one, buffer, 9, 0), EAGAIN);
  CHECK(now_us() - before >= 50000 && close(one) == 0 && close(other) == 0);
}

static void test_events(int listener) {
  int pair[2], epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = 77}, ready[4];
  connected(listener, pair);
  CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, pair[1], &event) == 0);
  FAILS(epoll_ctl(epoll, EPOLL_CTL_ADD, pair[1], &event), EEXIST);
  CHECK(epoll_wait(epoll, ready, 4, 0) == 0);
  CHECK(write(pair[0], "x", 1) == 1 && epoll_wait(epoll, ready, 4, -1) == 1);
  CHECK(ready[0].data.u64 == 77 && ready[0].events == EPOLLIN);
  CHECK(epoll_wait(epoll, ready, 4, 5) == 0);
  CHECK(read(pair[1], buffer, 9) == 1 && write(pair[0], "y", 1) == 1);
  CHECK(epoll_wait(epoll, ready, 4, 10000) == 1 && read(pair[1], buffer, 9) == 1);
  int file = open("/dev/null", O_RDONLY);
  FAILS(epoll_ctl(epoll, EPOLL_CTL_ADD, file, &event), EPERM);
  int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  struct itimerspec times = {.it_value.tv_nsec = 10000000, .it_interval.tv_sec = 100};
  event = (struct epoll_event){.events = EPOLLIN, .data.fd = timer};
  int64_t before = now_us();
  CHECK(timerfd_settime(timer, 0, &times, NULL) == 0);
  CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event) == 0);
  uint64_t count;
  CHECK(epoll_wait(epoll, ready, 4, 10000) == 1 && ready[0].data.fd == timer);
  CHECK(now_us() - before >= 9900 && read(timer, &count, 8) == 8 && count >= 1);
  FAILS(read(timer, &count, 8), EAGAIN);
  /* Its interest ends with it. */
  CHECK(close(timer) == 0 && epoll_wait(epoll, ready, 4, 20) == 0);
  int counter = eventfd(3, EFD_NONBLOCK);
  CHECK(read(counter, &count, 8) == 8 && count == 3);
  FAILS(read(counter, &count, 8), EAGAIN);
  CHECK(write(counter, &count, 8) == 8);
  fd_set read_set;
  FD_ZERO(&read_set);
  FD_SET(counter, &read_set);
  FD_SET(pair[0], &read_set);
  struct timeval limit = {.tv_sec = 1};
  int last = counter > pair[0] ? counter : pair[0];
  CHECK(select(last + 1, &read_set, NULL, NULL, &limit) == 1);
  CHECK(FD_ISSET(counter, &read_set) && !FD_ISSET(pair[0], &read_set));
}

static void test_pipes(void) {
  int pipes[2], pair[2], before = sigpipes;
  CHECK(pipe(pipes) == 0 && write(pipes[1], "pipe", 4) == 4);
  CHECK(read(pipes[0], buffer, 9) == 4 && close(pipes[0]) == 0);
  FAILS(write(pipes[1], "x", 1), EPIPE);
  CHECK(sigpipes == before + 1 && is_ready(pipes[1], POLLOUT, 0) == (POLLOUT | POLLERR));
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && send(pair[0], "x", 1, 0) == 1);
  CHECK(read(pair[1], buffer, 9) == 1 && close(pair[0]) == 0 && read(pair[1], buffer, 9) == 0);
}

static int events_within(int epoll, int milliseconds) {
  struct epoll_event ready[4];
  int count = epoll_wait(epoll, ready, 4, milliseconds);
  CHECK(count >= 0);
  return count == 0 ? 0 : (int)ready[0].events;
}

/* The events that are to come; on a busy machine they take their time. */
static int events_of(int epoll) {
  return events_within(epoll, 10000);
}

static int is_quiet(int epoll) {
  return events_within(epoll, 50) == 0;
}

static int watch(int fd, int events) {
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = events};
  CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
  return epoll;
}

/* What arrives is an edge, even if the program reads nothing; a read that leaves bytes is none. */
static void test_edges(int listener) {
  uint64_t one = 1;
  int counter = eventfd(0, EFD_NONBLOCK), edges = watch(counter, EPOLLIN | EPOLLET);
  for (int i = 0; i < 3; i++) {
    CHECK(write(counter, &one, 8) == 8 && events_of(edges) == EPOLLIN);
    CHECK(is_quiet(edges));
  }
  int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  struct itimerspec times = {.it_value.tv_nsec = 5000000, .it_interval.tv_nsec = 5000000};
  int ticks = watch(timer, EPOLLIN | EPOLLET);
  CHECK(timerfd_settime(timer, 0, &times, NULL) == 0);
  uint64_t expirations;
  for (int i = 0; i < 3; i++) {
    CHECK(events_of(ticks) == EPOLLIN);
    CHECK(is_quiet(ticks) && read(timer, &expirations, 8) == 8 && expirations >= 10);
  }
  int pipes[2], pair[2];
  CHECK(pipe(pipes) == 0);
  int pipe_edges = watch(pipes[0], EPOLLIN | EPOLLET);
  CHECK(write(pipes[1], "abc", 3) == 3 && events_of(pipe_edges) == EPOLLIN);
  CHECK(write(pipes[1], "abc", 3) == 3 && events_of(pipe_edges) == EPOLLIN);
  CHECK(read(pipes[0], buffer, 2) == 2 && is_quiet(pipe_edges));
  connected(listener, pair);
  int bytes = watch(pair[1], EPOLLIN | EPOLLET);
  CHECK(write(pair[0], "abc", 3) == 3 && events_of(bytes) == EPOLLIN);
  CHECK(write(pair[0], "abc", 3) == 3 && events_of(bytes) == EPOLLIN);
  CHECK(read(pair[1], buffer, 2) == 2 && is_quiet(bytes));
  CHECK(shutdown(pair[0], SHUT_WR) == 0 && events_of(bytes) == EPOLLIN);
  CHECK(is_quiet(bytes));
  int accepts = watch(listener, EPOLLIN | EPOLLET), waiting[2];
  for (int i = 0; i < 2; i++) {
    waiting[i] = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(call(connect, waiting[i], server) == 0 && events_of(accepts) == EPOLLIN);
  }
  for (int i = 0; i < 2; i++) {
    CHECK(is_quiet(accepts));
    CHECK(close(accept(listener, NULL, NULL)) == 0 && close(waiting[i]) == 0);
  }
  int datagrams = socket(AF_INET, SOCK_DGRAM, 0), sender = socket(AF_INET, SOCK_DGRAM, 0);
  CHECK(call(connect, sender, bind_any(datagrams)) == 0);
  int arrivals = watch(datagrams, EPOLLIN | EPOLLET);
  for (int i = 0; i < 2; i++) {
    CHECK(send(sender, "abc", 3, 0) == 3 && events_of(arrivals) == EPOLLIN);
    CHECK(is_quiet(arrivals));
  }
  CHECK(read(datagrams, buffer, 9) == 3 && is_quiet(arrivals));
  /* Descriptors of epoll in one another. */
  int inner = watch(counter, EPOLLIN | EPOLLET), outer = watch(inner, EPOLLIN);
  CHECK(is_ready(outer, POLLIN, 0) == POLLIN && events_of(inner) == EPOLLIN);
  CHECK(is_ready(outer, POLLIN, 0) == 0 && is_quiet(outer));
  CHECK(write(counter, &one, 8) == 8 && is_ready(outer, POLLIN, 0) == POLLIN);
  int once = watch(counter, EPOLLIN | EPOLLONESHOT);
  CHECK(is_ready(once, POLLIN, 0) == POLLIN && events_of(once) == EPOLLIN);
  CHECK(is_ready(once, POLLIN, 0) == 0);
  int all[] = {counter, edges, timer, ticks, pipes[0], pipes[1], pipe_edges, pair[0], pair[1],
               bytes, accepts, datagrams, sender, arrivals, inner, outer, once};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) CHECK(close(all[i]) == 0);
}

/* Signals that are blocked wait, and the masks of waits apply. */
static void test_masks(void) {
  sigset_t usr1, none, old;
  struct timespec soon = {.tv_nsec = 1000000};
  sigemptyset(&none);
  sigemptyset(&usr1);
  sigaddset(&usr1, SIGUSR1);
  struct sigaction action = {.sa_handler = on_signal};
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  CHECK(raise(SIGUSR1) == 0 && signals == 1);
  CHECK(sigprocmask(SIG_BLOCK, &usr1, &old) == 0 && raise(SIGUSR1) == 0 && signals == 1);
  CHECK(poll(NULL, 0, 1) == 0 && signals == 1);
  CHECK(ppoll(NULL, 0, &soon, &usr1) == 0 && signals == 1);
  FAILS(ppoll(NULL, 0, &soon, &none), EINTR);
  CHECK(signals == 2 && raise(SIGUSR1) == 0);
  FAILS(pselect(0, NULL, NULL, NULL, &soon, &none), EINTR);
  CHECK(signals == 3 && raise(SIGUSR1) == 0);
  struct epoll_event ready;
  int epoll = epoll_create1(0);
  FAILS(epoll_pwait(epoll, &ready, 1, 1, &none), EINTR);
  CHECK(signals == 4 && raise(SIGUSR1) == 0 && signals == 4 && close(epoll) == 0);
  CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0 && signals == 5);
  /* A signal without a handler ends no wait. */
  for (int i = 0; i < 2; i++) {
    int signal_of[] = {SIGCHLD, SIGUSR2};
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, signal_of[i]);
    signal(SIGUSR2, SIG_IGN);
    CHECK(sigprocmask(SIG_BLOCK, &one, &old) == 0 && raise(signal_of[i]) == 0);
    CHECK(ppoll(NULL, 0, &soon, &none) == 0 && raise(signal_of[i]) == 0);
    CHECK(pselect(0, NULL, NULL, NULL, &soon, &none) == 0);
    CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0 && signals == 5);
  }
}

/* SIGPIPE that is blocked waits, and does to the program what it then does. */
static void test_blocked_sigpipe(void) {
  sigset_t sigpipe, old;
  int pipes[2], before = sigpipes;
  sigemptyset(&sigpipe);
  sigaddset(&sigpipe, SIGPIPE);
  CHECK(pipe(pipes) == 0 && close(pipes[0]) == 0);
  CHECK(sigprocmask(SIG_BLOCK, &sigpipe, &old) == 0);
  for (int i = 0; i < 2; i++) {
    signal(SIGPIPE, i == 0 ? SIG_DFL : SIG_IGN);
    FAILS(write(pipes[1], "x", 1), EPIPE);
    signal(SIGPIPE, on_sigpipe);
    CHECK(sigpipes == before + i && sigprocmask(SIG_SETMASK, &old, NULL) == 0);
    CHECK(sigpipes == before + i + 1 && sigprocmask(SIG_BLOCK, &sigpipe, NULL) == 0);
  }
  CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0 && close(pipes[1]) == 0);
}

/* A connection that its peer has reset. */
static void reset(int listener, int pair[2]) {
  struct linger at_once = {.l_onoff = 1, .l_linger = 0};
  connected(listener, pair);
  CHECK(setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
  CHECK(close(pair[1]) == 0);
  int expected = POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP;
  CHECK(is_ready(pair[0], POLLIN | POLLOUT | POLLRDHUP, 10000) == expected);
}

static void test_resets(int listener) {
  int pair[2], before = sigpipes;
  reset(listener, pair);
  FAILS(read(pair[0], buffer, 1), ECONNRESET);
  CHECK((is_ready(pair[0], POLLIN | POLLOUT, 0) & POLLERR) == 0);
  CHECK(read(pair[0], buffer, 1) == 0 && error_of(pair[0]) == 0);
  FAILS(write(pair[0], "x", 1), EPIPE);
  CHECK(sigpipes == before + 1 && close(pair[0]) == 0);
  reset(listener, pair);
  FAILS(write(pair[0], "x", 1), ECONNRESET);
  CHECK(sigpipes == before + 1);
  FAILS(write(pair[0], "x", 1), EPIPE);
  CHECK(sigpipes == before + 2 && read(pair[0], buffer, 1) == 0 && close(pair[0]) == 0);
  reset(listener, pair);
  CHECK(error_of(pair[0]) == ECONNRESET && error_of(pair[0]) == 0);
  CHECK(read(pair[0], buffer, 1) == 0 && close(pair[0]) == 0);
  /* Without SO_LINGER a close is orderly again. */
  struct linger linger = {.l_onoff = 1, .l_linger = 0};
  connected(listener, pair);
  CHECK(setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
  linger.l_onoff = 0;
  CHECK(setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
  CHECK(close(pair[1]) == 0 && is_ready(pair[0], POLLIN, 10000) == POLLIN);
  CHECK(read(pair[0], buffer, 1) == 0 && close(pair[0]) == 0);
  struct timeval limit = {.tv_sec = 1, .tv_usec = INT64_MAX / 2};
  FAILS(setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), EDOM);
}

static void test_connections(int listener) {
  int pair[2], many[4];
  /* The first connect after the establishment reports it. */
  connected(listener, pair);
  CHECK(call(connect, pair[0], server) == 0);
  FAILS(call(connect, pair[0], server), EISCONN);
  FAILS(call(connect, pair[1], server), EISCONN);
  FAILS(call(connect, listener, server), EISCONN);
  /* What has arrived is read after SHUT_RD. */
  CHECK(write(pair[0], "abc", 3) == 3 && is_ready(pair[1], POLLIN, 10000) == POLLIN);
  FAILS(shutdown(pair[1], 7), EINVAL);
  CHECK(shutdown(pair[1], SHUT_RD) == 0 && read(pair[1], buffer, 9) == 3);
  CHECK(read(pair[1], buffer, 9) == 0);
  CHECK(is_ready(pair[1], POLLIN | POLLRDHUP, 0) == (POLLIN | POLLRDHUP));
  CHECK(close(pair[0]) == 0 && close(pair[1]) == 0);
  /* A negative backlog is a large one. */
  int other = socket(AF_INET, SOCK_STREAM, 0), port = bind_any(other);
  CHECK(listen(other, -1) == 0);
  for (int i = 0; i < 4; i++) {
    many[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK(call(connect, many[i], port) == 0 || errno == EINPROGRESS);
    CHECK(is_ready(many[i], POLLOUT, 10000) == POLLOUT);
  }
  CHECK(shutdown(other, SHUT_WR) == 0 && is_ready(other, POLLIN, 10000) == POLLIN);
  CHECK(shutdown(other, SHUT_RD) == 0);
  FAILS(accept(other, NULL, NULL), EINVAL);
  CHECK(listen(other, 1) == 0 && close(other) == 0);
  for (int i = 0; i < 4; i++) CHECK(close(many[i]) == 0);
  int fresh = socket(AF_INET, SOCK_STREAM, 0);
  FAILS(shutdown(fresh, SHUT_RDWR), ENOTCONN);
  CHECK(close(fresh) == 0);
  int one = socket(AF_INET, SOCK_DGRAM, 0), two = socket(AF_INET, SOCK_DGRAM, 0), unread = -1;
  int to = bind_any(one), from = bind_any(two);
  FAILS(shutdown(two, SHUT_WR), ENOTCONN);
  CHECK(close(two) == 0);
  two = socket(AF_INET, SOCK_DGRAM, 0);
  CHECK(call(bind, two, from) == 0 && call(connect, two, to) == 0 && call(connect, one, from) == 0);
  CHECK(ioctl(one, FIONREAD, &unread) == 0 && unread == 0);
  CHECK(send(two, "abcde", 5, 0) == 5 && send(two, "x", 1, 0) == 1);
  CHECK(is_ready(one, POLLIN, 10000) == POLLIN);
  CHECK(ioctl(one, FIONREAD, &unread) == 0 && unread == 5);
  CHECK(shutdown(one, SHUT_RD) == 0 && read(one, buffer, 9) == 5 && read(one, buffer, 9) == 1);
  CHECK(read(one, buffer, 9) == 0 && is_ready(one, POLLIN, 0) == POLLIN);
  CHECK(shutdown(two, SHUT_WR) == 0);
  FAILS(send(two, "x", 1, MSG_NOSIGNAL), EPIPE);
  CHECK(close(one) == 0 && close(two) == 0);
}

static void test_errors(int listener) {
  uint64_t counts[] = {1, 1}, count;
  int counter = eventfd(0, EFD_NONBLOCK), file = open("/dev/null", O_RDWR), pipes[2], pair[2];
  /* Older Linux takes the first 8 bytes. */
  ssize_t written = write(counter, counts, 16);
  CHECK(written == 8 || (written == -1 && errno == EINVAL));
  CHECK(pipe(pipes) == 0);
  FAILS(listen(file, 1), ENOTSOCK);
  FAILS(listen(counter, 1), ENOTSOCK);
  FAILS(send(pipes[1], "x", 1, 0), ENOTSOCK);
  FAILS(recv(pipes[0], buffer, 1, MSG_DONTWAIT), ENOTSOCK);
  FAILS(call(bind, file, 0), ENOTSOCK);
  FAILS(call(connect, pipes[0], server), ENOTSOCK);
  FAILS(shutdown(counter, SHUT_RD), ENOTSOCK);
  FAILS(accept(file, NULL, NULL), ENOTSOCK);
  FAILS(setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &counter, sizeof counter), ENOTSOCK);
  struct sockaddr_in own;
  socklen_t len = sizeof own;
  FAILS(getsockname(counter, (struct sockaddr *)&own, &len), ENOTSOCK);
  FAILS(listen(999, 1), EBADF);
  FAILS(select(-1, NULL, NULL, NULL, NULL), EINVAL);
  /* An interval near the end of time. */
  int timer = timerfd_create(CLOCK_MONOTONIC, 0);
  struct itimerspec times = {.it_value.tv_nsec = 1, .it_interval.tv_sec = INT64_MAX};
  CHECK(timerfd_settime(timer, 0, &times, NULL) == 0);
  CHECK(read(timer, &count, 8) == 8 && count == 1 && is_ready(timer, POLLIN, 5) == 0);
  CHECK(close(timer) == 0 && close(file) == 0 && close(counter) == 0);
  CHECK(close(pipes[0]) == 0 && close(pipes[1]) == 0);
  /* An accept that finds no free descriptor leaves the connection. */
  struct rlimit limit;
  pair[0] = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(call(connect, pair[0], server) == 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0);
  struct rlimit few = {.rlim_cur = 100, .rlim_max = limit.rlim_max};
  CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
  int copies[100], last = 0;
  while ((copies[last] = dup(listener)) >= 0) last++;
  CHECK(errno == EMFILE);
  FAILS(accept(listener, NULL, NULL), EMFILE);
  while (last > 0) CHECK(close(copies[--last]) == 0);
  pair[1] = accept(listener, NULL, NULL);
  CHECK(pair[1] >= 0 && write(pair[1], "x", 1) == 1 && read(pair[0], buffer, 9) == 1);
  CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0 && close(pair[0]) == 0 && close(pair[1]) == 0);
}

/* Where a node differs from the machines that run tests. */
static void test_nodes(void) {
  FAILS(socket(AF_INET6, SOCK_STREAM, 0), EAFNOSUPPORT);
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
  CHECK(getaddrinfo("select", "http", &hints, &found) == 0);
  struct sockaddr_in *address = (struct sockaddr_in *)found->ai_addr;
  CHECK(ntohl(address->sin_addr.s_addr) == 0x0a000001 && ntohs(address->sin_port) == 80);
  CHECK(getaddrinfo("nowhere.example", "80", &hints, &found) == EAI_NONAME);
  struct stat by_path, by_descriptor;
  int hosts = open("/etc/hosts", O_RDONLY);
  CHECK(stat("/etc/hosts", &by_path) == 0 && fstat(hosts, &by_descriptor) == 0);
  CHECK(memcmp(&by_path, &by_descriptor, sizeof by_path) == 0 && by_path.st_size > 0);
}

/* Parts of the nodes that `unmodified.ml` starts */

enum { TEXT = 2 << 20 };

static int connection(const char *node, const char *port) {
  struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
  CHECK(getaddrinfo(node, port, &hints, &found) == 0);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  int error = connect(fd, found->ai_addr, found->ai_addrlen) == 0 ? 0 : errno;
  freeaddrinfo(found);
  if (error == 0) return fd;
  close(fd);
  errno = error;
  return -1;
}

/* Writes more than buffers hold, and dies by a signal: at once, when it unblocks it, or during a
   wait that unblocks it with another one, whose handler doesn't run. */
static void speak(const char *part) {
  char *text = calloc(1, TEXT);
  strcpy(text, part);
  sigset_t both, none;
  sigemptyset(&none);
  sigemptyset(&both);
  sigaddset(&both, SIGUSR1);
  sigaddset(&both, SIGTERM);
  /* A node that sleeps answers. */
  FAILS(connection("sleeps", "9"), ECONNREFUSED);
  int fd = connection("hears", "7");
  CHECK(fd >= 0 && write(fd, text, TEXT) == TEXT);
  if (strcmp(part, "speaks") != 0) {
    signal(SIGUSR1, on_late);
    CHECK(sigprocmask(SIG_BLOCK, &both, NULL) == 0 && raise(SIGUSR1) == 0);
  }
  CHECK(raise(SIGTERM) == 0);
  if (strcmp(part, "waits") == 0) ppoll(NULL, 0, NULL, &none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  puts("lives");
}

/* Prints whose text has come, up to the end. */
static void hear(void) {
  char *text = calloc(1, TEXT);
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(7)};
  CHECK(bind(listener, (struct sockaddr *)&any, sizeof any) == 0 && listen(listener, 5) == 0);
  for (;;) {
    int fd = accept(listener, NULL, NULL);
    CHECK(fd >= 0 && recv(fd, text, TEXT, MSG_WAITALL) == TEXT && read(fd, text, 1) == 0);
    CHECK(close(fd) == 0 && puts(text) > 0);
  }
}

/* Is requested to stop, which it allows at one place. */
static void hold(void) {
  sigset_t term, none;
  struct timespec second = {.tv_sec = 1}, soon = {.tv_nsec = 1000000};
  struct sigaction action = {.sa_handler = on_signal};
  sigemptyset(&none);
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  CHECK(sigprocmask(SIG_BLOCK, &term, NULL) == 0 && sigaction(SIGTERM, &action, NULL) == 0);
  do CHECK(nanosleep(&second, NULL) == 0 && signals == 0);
  while (ppoll(NULL, 0, &soon, &none) == 0);
  CHECK(errno == EINTR && signals == 1 && puts("stopped") > 0);
}

int main(int count, char **arguments) {
  setvbuf(stdout, NULL, _IONBF, 0);
  const char *part = count > 1 ? arguments[1] : "";
  if (strcmp(part, "speaks") == 0 || strcmp(part, "frees") == 0 || strcmp(part, "waits") == 0)
    speak(part);
  if (strcmp(part, "hears") == 0) hear();
  if (strcmp(part, "holds") == 0) return hold(), 0;
  if (strcmp(part, "sleeps") == 0) pause();
  signal(SIGPIPE, on_sigpipe);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
  CHECK(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0);
  server = bind_any(listener);
  CHECK(listen(listener, 5) == 0);
  test_streams(listener);
  test_bulk(listener);
  test_datagrams();
  test_events(listener);
  test_pipes();
  test_edges(listener);
  test_masks();
  test_blocked_sigpipe();
  test_resets(listener);
  test_connections(listener);
  test_errors(listener);
  test_refused();
  if (strcmp(part, "linux") != 0) test_nodes();
  CHECK(dup2(STDOUT_FILENO, 70) == 70 && dprintf(70, "done\n") == 5);
  return 0;
}
