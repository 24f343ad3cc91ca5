/* sendmsg, recvmsg and what OCaml's Unix has no function for: one line for the answer of each. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <caml/mlvalues.h>

static void line(const char *name, long result)
{
  if (result < 0)
    printf("messages %s: error %d\n", name, errno);
  else
    printf("messages %s: %ld\n", name, result);
  fflush(stdout);
}

static long send_pieces(int fd, int passed)
{
  struct iovec pieces[] = {{"one ", 4}, {"two ", 4}, {"three", 5}};
  struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 3};
  char control[CMSG_SPACE(sizeof passed)] = {0};
  if (passed >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof passed);
    memcpy(CMSG_DATA(header), &passed, sizeof passed);
  }
  return sendmsg(fd, &message, MSG_NOSIGNAL);
}

/* Receives into two pieces; the descriptor that came, or -1. */
static int receive_pieces(int fd, const char *name, int flags)
{
  char first[6] = {0}, second[5] = {0}, control[CMSG_SPACE(sizeof(int))];
  struct iovec pieces[] = {{first, 5}, {second, 4}};
  struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2, .msg_control = control,
                           .msg_controllen = sizeof control};
  long result = recvmsg(fd, &message, flags);
  line(name, result);
  printf("messages '%s' '%s', cut %d, control %d\n", first, second,
         (message.msg_flags & MSG_TRUNC) != 0, (int)message.msg_controllen);
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  int passed = -1;
  if (header && header->cmsg_type == SCM_RIGHTS)
    memcpy(&passed, CMSG_DATA(header), sizeof passed);
  return passed;
}

static void several(int domain)
{
  struct sockaddr_in there = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof there;
  int to = socket(domain, SOCK_DGRAM | SOCK_CLOEXEC, 0), from = socket(domain, SOCK_DGRAM, 0);
  bind(to, (struct sockaddr *)&there, sizeof there);
  getsockname(to, (struct sockaddr *)&there, &size);
  struct iovec pieces[] = {{"a", 1}, {"bb", 2}, {"ccc", 3}};
  struct mmsghdr messages[3] = {0};
  for (int i = 0; i < 3; i++) {
    messages[i].msg_hdr = (struct msghdr){.msg_name = &there, .msg_namelen = sizeof there,
                                          .msg_iov = &pieces[i], .msg_iovlen = 1};
  }
  line("sendmmsg", sendmmsg(from, messages, 3, 0));
  char buffers[4][8] = {0};
  struct mmsghdr received[4] = {0};
  struct iovec rooms[4];
  for (int i = 0; i < 4; i++) {
    rooms[i] = (struct iovec){buffers[i], 8};
    received[i].msg_hdr = (struct msghdr){.msg_iov = &rooms[i], .msg_iovlen = 1};
  }
  line("recvmmsg", recvmmsg(to, received, 4, MSG_WAITFORONE, NULL));
  for (int i = 0; i < 3; i++)
    printf("messages '%s' %u\n", buffers[i], received[i].msg_len);
  line("recvmmsg again", recvmmsg(to, received, 4, MSG_DONTWAIT, NULL));
  line("send", sendto(from, "long datagram", 13, 0, (struct sockaddr *)&there, size));
  char cut[4];
  line("MSG_TRUNC", recv(to, cut, 4, MSG_TRUNC));
  int waiting = -1;
  line("FIONREAD", ioctl(to, FIONREAD, &waiting) ? -1 : waiting);
  int one = 1;
  line("FIONBIO", ioctl(to, FIONBIO, &one));
  line("recv", recv(to, cut, 4, 0));
  line("an unknown ioctl", ioctl(to, 0x1234, &one));
  close(to);
  close(from);
}

static void streams(void)
{
  struct sockaddr_in there = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof there;
  int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
  bind(listener, (struct sockaddr *)&there, sizeof there);
  listen(listener, 1);
  getsockname(listener, (struct sockaddr *)&there, &size);
  line("short address", connect(client, (struct sockaddr *)&there, 8));
  line("connect", connect(client, (struct sockaddr *)&there, size));
  struct sockaddr_in peer;
  size = 4;
  int server = accept4(listener, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  line("its length", size);
  char bytes[20];
  line("not blocking", recv(server, bytes, 20, 0));
  line("sendmsg", send_pieces(client, -1));
  struct pollfd polled = {.fd = server, .events = POLLIN | POLLOUT | POLLRDHUP};
  line("poll", poll(&polled, 1, 5000));
  line("events", polled.revents);
  receive_pieces(server, "recvmsg", 0);
  line("MSG_WAITALL", recv(server, bytes, 4, MSG_WAITALL));
  shutdown(client, SHUT_WR);
  line("poll", poll(&polled, 1, 5000));
  while (!(polled.revents & POLLRDHUP))
    poll(&polled, 1, 10);
  line("events", polled.revents);
  int value = 0;
  size = sizeof value;
  line("SO_DOMAIN", getsockopt(server, SOL_SOCKET, SO_DOMAIN, &value, &size) ? -1 : value);
  line("SO_PROTOCOL", getsockopt(server, SOL_SOCKET, SO_PROTOCOL, &value, &size) ? -1 : value);
  for (int option = TCP_KEEPIDLE; option <= TCP_KEEPCNT; option++) {
    value = option * 3;
    line("set", setsockopt(server, IPPROTO_TCP, option, &value, sizeof value));
    value = 0;
    line("get", getsockopt(server, IPPROTO_TCP, option, &value, &size) ? -1 : value);
  }
  value = 0;
  line("out of range", setsockopt(server, IPPROTO_TCP, TCP_KEEPIDLE, &value, sizeof value));
  line("unknown", setsockopt(server, IPPROTO_TCP, 200, &value, sizeof value));
  value = 9;
  line("IP_TTL", setsockopt(server, IPPROTO_IP, IP_TTL, &value, 1));
  line("IP_TTL", getsockopt(server, IPPROTO_IP, IP_TTL, &value, &size) ? -1 : value);
  line("no memory", send(server, (void *)8, 10, MSG_NOSIGNAL));
  close(server);
  close(client);
  close(listener);
}

/* A stream that stdio writes to, and a datagram of more than 64 KiB. */
static void whole(void)
{
  static char datagram[100000], parts[2][60000];
  int pair[2];
  char bytes[20];
  socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
  FILE *file = fdopen(pair[0], "w");
  fprintf(file, "hello\n");
  fflush(file);
  line("what was flushed", recv(pair[1], bytes, 20, 0));
  line("its end", recv(pair[1], bytes, 20, MSG_DONTWAIT));
  line("nothing", send(pair[0], bytes, 0, 0));
  line("nor there", recv(pair[1], bytes, 20, MSG_DONTWAIT));
  line("left unread", send(pair[0], bytes, 3, 0));
  close(pair[1]);
  line("write", send(pair[0], bytes, 1, MSG_NOSIGNAL));
  line("read", recv(pair[0], bytes, 1, 0));
  fclose(file);
  socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
  struct iovec pieces[] = {{parts[0], 50000}, {parts[1], 60000}};
  struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
  line("send", send(pair[0], datagram, sizeof datagram, 0));
  line("its pieces", recvmsg(pair[1], &message, 0));
  pieces[0].iov_len = 1 << 30;
  line("too long", sendmsg(pair[0], &message, 0));
  close(pair[0]);
  close(pair[1]);
}

/* Connections and descriptors that there are no numbers for. */
static void no_numbers(void)
{
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0no numbers"};
  int pair[2], listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
  line("bind", bind(listener, (struct sockaddr *)&name, sizeof name));
  line("listen", listen(listener, 1));
  line("connect", connect(client, (struct sockaddr *)&name, sizeof name));
  socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
  line("send", send_pieces(pair[0], 0));
  int free = dup(0);
  close(free);
  struct rlimit none = {.rlim_cur = free, .rlim_max = limit.rlim_max};
  line("setrlimit", setrlimit(RLIMIT_NOFILE, &none));
  line("accept", accept(listener, NULL, NULL));
  line("passed", receive_pieces(pair[1], "no number", 0) >= 0);
  line("setrlimit", setrlimit(RLIMIT_NOFILE, &limit));
  int accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
  line("accepted", accepted >= 0);
  close(accepted);
  close(pair[0]);
  close(pair[1]);
  close(client);
  close(listener);
}

static void rights(void)
{
  int pair[2], ends[2];
  line("socketpair", socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair));
  line("pipe", pipe(ends));
  line("pass", send_pieces(pair[0], ends[1]));
  close(ends[1]);
  int passed = receive_pieces(pair[1], "take", 0);
  line("write", write(passed, "by the pipe", 11));
  char bytes[20] = {0};
  line("read", read(ends[0], bytes, 20));
  printf("messages '%s'\n", bytes);
  line("the rest", recv(pair[1], bytes, 20, 0));
  line("pass one that isn't open", send_pieces(pair[0], 999));
  line("pass", send_pieces(pair[0], passed));
  close(passed);
  close(pair[0]);
  close(pair[1]);
  line("the end of the pipe", read(ends[0], bytes, 20));
  close(ends[0]);
}

/* A socket in its own queue, which no descriptor stands for any more. */
static void into_itself(void)
{
  int pair[2], other[2];
  char byte;
  socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
  line("pass into itself", send_pieces(pair[0], pair[1]));
  close(pair[1]);
  /* Linux searches for such sockets when another one is closed. */
  socketpair(AF_UNIX, SOCK_STREAM, 0, other);
  close(other[0]);
  close(other[1]);
  struct pollfd end = {.fd = pair[0], .events = POLLIN};
  line("poll", poll(&end, 1, 60000));
  line("its end", recv(pair[0], &byte, 1, MSG_DONTWAIT));
  close(pair[0]);
}

static void abstract(void)
{
  struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0abstract"}, found;
  socklen_t size = sizeof(sa_family_t) + 9;
  int one = socket(AF_UNIX, SOCK_DGRAM, 0), other = socket(AF_UNIX, SOCK_DGRAM, 0);
  line("bind", bind(one, (struct sockaddr *)&name, size));
  line("bind again", bind(other, (struct sockaddr *)&name, size));
  line("chosen", bind(other, (struct sockaddr *)&name, sizeof(sa_family_t)));
  line("connect", connect(other, (struct sockaddr *)&name, size));
  line("send", send(other, "datagram", 8, 0));
  char bytes[20];
  size = sizeof found;
  line("receive", recvfrom(one, bytes, 20, 0, (struct sockaddr *)&found, &size));
  line("its sender's length", size);
  size = sizeof found;
  line("name", getsockname(one, (struct sockaddr *)&found, &size));
  line("its length", size);
  close(one);
  line("to none", send(other, "datagram", 8, 0));
  close(other);
}

static volatile sig_atomic_t broken;

static void on_broken(int signal)
{
  (void)signal;
  broken++;
}

/* What poll says of a connection that is refused, and the signal of one whose end is shut down. */
static void failures(void)
{
  struct sockaddr_in none = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t length = sizeof none;
  int bound = socket(AF_INET, SOCK_STREAM, 0);
  bind(bound, (struct sockaddr *)&none, sizeof none);
  getsockname(bound, (struct sockaddr *)&none, &length);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  line("connect to none", connect(fd, (struct sockaddr *)&none, sizeof none));
  struct pollfd entry = {.fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP};
  line("poll", poll(&entry, 1, -1));
  line("its events", entry.revents);
  int error = 0;
  length = sizeof error;
  line("SO_ERROR", getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length));
  line("is", error);
  poll(&entry, 1, -1);
  line("its events then", entry.revents);
  close(fd);
  close(bound);

  int ends[2];
  struct sigaction action = {.sa_handler = on_broken}, before;
  sigaction(SIGPIPE, &action, &before);
  socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
  shutdown(ends[0], SHUT_WR);
  line("send after shutdown, silently", send(ends[0], "x", 1, MSG_NOSIGNAL));
  line("signals", broken);
  line("send after shutdown", send(ends[0], "x", 1, 0));
  line("signals", broken);
  line("write after shutdown", write(ends[0], "x", 1));
  line("signals", broken);
  sigaction(SIGPIPE, &before, NULL);
  close(ends[0]);
  close(ends[1]);
}

value messages(value unit)
{
  several(AF_INET);
  streams();
  whole();
  no_numbers();
  rights();
  into_itself();
  abstract();
  failures();
  return unit;
}
