/* Load client of the benchmarks and tests: it times what a TCP peer does, on this side's clock.

     load in   HOST PORT SECONDS          sends zeros, then waits until the peer has read them all
     load out  HOST PORT SECONDS          reads and throws away
     load echo HOST PORT SECONDS          64-byte ping-pong, every round trip timed
     load hold HOST PORT COUNT SECONDS    opens COUNT connections, exchanges one byte on each of
                                          them, keeps all open for SECONDS
     load copy HOST PORT BYTES            sends BYTES pseudo-random bytes to an echo service and
                                          compares what comes back
     load frames IFNAME SECONDS WINDOW    Ethernet frames of 60 bytes to a responder, WINDOW of
                                          them under way
     load udpin  HOST PORT SECONDS        datagrams of 64 bytes as fast as they go; then asks the
                                          peer (datagrams of bench/programs/serve.ml) how many came
     load udpout HOST PORT SECONDS        has the peer send datagrams of 64 bytes, and counts them
     load flood  IFNAME MAC HOST PORT RATE SECONDS syn|udp|fragment
                                          that kind of packet from changing addresses, RATE of
                                          them a second
     load visit  HOST PORT COUNT CLIENTS  COUNT connections with one HTTP request each, CLIENTS at a
                                          time, from 127 of this side's addresses where it has them

   One line on standard output: the figures as `name=value`. Exit 1 with a message on standard error
   when the peer stalls for 20 s, resets, or answers something else. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK 65536

/* How long nothing may come: LOAD_STALL_MS of the environment, where lost segments have to be sent
   again five times and more. */
static int stall_ms = 20000;

static void die(const char *format, ...)
{
  va_list args;
  va_start(args, format);
  fprintf(stderr, "load: ");
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  exit(1);
}

static double now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static void await(int fd, short events, const char *what)
{
  struct pollfd p = {fd, events, 0};
  if (poll(&p, 1, stall_ms) <= 0) die("stalled: %s", what);
}

/* A connected, non-blocking socket. */
static int dial(const char *host, const char *port)
{
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *info;
  int e = getaddrinfo(host, port, &hints, &info);
  if (e) die("%s: %s", host, gai_strerror(e));
  int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
  if (fd < 0) die("socket: %s", strerror(errno));
  /* The congestion control of all comparisons; the machine's default may differ. */
  setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(fd, info->ai_addr, info->ai_addrlen) && errno != EINPROGRESS)
    die("connect %s:%s: %s", host, port, strerror(errno));
  freeaddrinfo(info);
  return fd;
}

static void connected(int fd)
{
  await(fd, POLLOUT, "connecting");
  int error = 0;
  socklen_t n = sizeof error;
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n);
  if (error) die("connect: %s", strerror(error));
}

static size_t send_some(int fd, const char *data, size_t n)
{
  for (;;) {
    ssize_t sent = send(fd, data, n, MSG_NOSIGNAL);
    if (sent >= 0) return sent;
    if (errno != EAGAIN) die("send: %s", strerror(errno));
    await(fd, POLLOUT, "sending");
  }
}

static size_t receive_some(int fd, char *data, size_t n)
{
  for (;;) {
    ssize_t got = recv(fd, data, n, 0);
    if (got >= 0) return got;
    if (errno != EAGAIN) die("receive: %s", strerror(errno));
    await(fd, POLLIN, "receiving");
  }
}

static char chunk[CHUNK], other[CHUNK];

static void report_rate(double bytes, double start)
{
  double seconds = now() - start;
  printf("gbps=%.4f bytes=%.0f seconds=%.3f\n", bytes * 8e-9 / seconds, bytes, seconds);
}

static void inward(int fd, double seconds)
{
  double start = now(), bytes = 0;
  while (now() - start < seconds) bytes += send_some(fd, chunk, CHUNK);
  shutdown(fd, SHUT_WR);
  while (receive_some(fd, other, CHUNK) > 0) {}
  report_rate(bytes, start);
}

static void outward(int fd, double seconds)
{
  double start = now(), bytes = 0;
  while (now() - start < seconds) {
    size_t n = receive_some(fd, chunk, CHUNK);
    if (n == 0) die("the peer closed after %.0f bytes", bytes);
    bytes += n;
  }
  report_rate(bytes, start);
}

static int ascending(const void *a, const void *b)
{
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void echo(int fd, double seconds)
{
  static double times[4000000];
  size_t count = 0;
  double start = now(), t;
  while ((t = now()) - start < seconds && count < sizeof times / sizeof *times) {
    send_some(fd, chunk, 64);
    for (size_t got = 0; got < 64;) {
      size_t n = receive_some(fd, other, 64 - got);
      if (n == 0) die("the peer closed");
      got += n;
    }
    times[count++] = now() - t;
  }
  if (count == 0) die("no round trip in %g s", seconds);
  qsort(times, count, sizeof *times, ascending);
  printf("p50_us=%.2f p99_us=%.2f count=%zu\n", times[count / 2] * 1e6,
         times[count - 1 - count / 100] * 1e6, count);
}

static void hold(const char *host, const char *port, int count, double seconds)
{
  struct rlimit limit = {count + 64, count + 64};
  if (setrlimit(RLIMIT_NOFILE, &limit)) die("setrlimit: %s", strerror(errno));
  int *fds = calloc(count, sizeof *fds);
  double start = now();
  /* 1024 at once: with more SYNs than a device's queue holds, Linux's retransmission timeout would
     be measured. */
  for (int i = 0; i < count; i += 1024) {
    int end = i + 1024 < count ? i + 1024 : count;
    for (int j = i; j < end; j++) fds[j] = dial(host, port);
    for (int j = i; j < end; j++) connected(fds[j]);
  }
  double opened = now() - start;
  for (int i = 0; i < count; i++) {
    char c = (char)i;
    send_some(fds[i], &c, 1);
  }
  for (int i = 0; i < count; i++) {
    char c;
    if (receive_some(fds[i], &c, 1) != 1 || c != (char)i) die("connection %d: wrong answer", i);
  }
  printf("connections=%d opened_s=%.3f answered_s=%.3f\n", count, opened, now() - start);
  fflush(stdout);
  usleep((useconds_t)(seconds * 1e6));
}

/* xorshift64: cheap, and a shifted or repeated piece of the stream doesn't match. */
static void fill(unsigned long long *state, char *out, size_t n)
{
  unsigned long long x = *state;
  for (size_t i = 0; i < n; i += 8) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    memcpy(out + i, &x, 8);
  }
  *state = x;
}

static void copy(int fd, size_t bytes)
{
  static char expected[CHUNK];
  unsigned long long out_state = 1, in_state = 1;
  size_t sent = 0, received = 0, out_left = 0, in_left = 0;
  bytes -= bytes % CHUNK;
  while (received < bytes) {
    struct pollfd p = {fd, POLLIN, 0};
    if (sent < bytes) p.events |= POLLOUT;
    if (poll(&p, 1, stall_ms) <= 0) die("stalled after %zu of %zu bytes", received, bytes);
    if (p.revents & POLLOUT) {
      if (out_left == 0) fill(&out_state, chunk, CHUNK), out_left = CHUNK;
      size_t n = send_some(fd, chunk + CHUNK - out_left, out_left);
      out_left -= n, sent += n;
    }
    if (p.revents & (POLLIN | POLLHUP | POLLERR)) {
      if (in_left == 0) fill(&in_state, expected, CHUNK), in_left = CHUNK;
      size_t n = receive_some(fd, other, in_left);
      if (n == 0) die("the peer closed after %zu of %zu bytes", received, bytes);
      if (memcmp(other, expected + CHUNK - in_left, n)) die("wrong bytes near %zu", received);
      in_left -= n, received += n;
    }
  }
  shutdown(fd, SHUT_WR);
  if (receive_some(fd, other, 1) != 0) die("bytes after the end");
  printf("bytes=%zu\n", bytes);
}

static void frames(const char *interface, double seconds, int window)
{
  const unsigned short type = htons(0x88b5); /* IEEE local experimental */
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, type);
  if (fd < 0) die("packet socket: %s", strerror(errno));
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = type,
                                .sll_ifindex = (int)if_nametoindex(interface)};
  if (bind(fd, (struct sockaddr *)&address, sizeof address)) die("bind: %s", strerror(errno));
  unsigned char frame[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x88, 0xb5};
  double start = now();
  long answered = 0;
  int under_way = 0, lost = 0;
  while (now() - start < seconds) {
    for (; under_way < window; under_way++)
      if (send(fd, frame, sizeof frame, 0) < 0) break;
    struct pollfd p = {fd, POLLIN, 0};
    if (poll(&p, 1, 200) == 0) {
      /* Frames may be dropped on the way: start a new window, and say so. */
      lost += under_way, under_way = 0;
      continue;
    }
    for (;;) {
      struct sockaddr_ll from;
      socklen_t n = sizeof from;
      if (recvfrom(fd, other, CHUNK, 0, (struct sockaddr *)&from, &n) < 0) break;
      if (from.sll_pkttype == PACKET_OUTGOING) continue;
      answered++;
      if (under_way > 0) under_way--;
    }
  }
  double elapsed = now() - start;
  printf("fps=%.0f answered=%ld lost=%d\n", answered / elapsed, answered, lost);
}

static void udpin(int fd, double seconds)
{
  double start = now();
  long sent = 0;
  while (now() - start < seconds)
    for (int i = 0; i < 64; i++)
      if (send(fd, chunk, 64, 0) == 64) sent++;
      else await(fd, POLLOUT, "sending datagrams");
  double elapsed = now() - start;
  /* Reads pending data first. */
  for (int tries = 0; tries < 50; tries++) {
    send(fd, "q", 1, 0);
    struct pollfd p = {fd, POLLIN, 0};
    if (poll(&p, 1, 200) <= 0) continue;
    ssize_t n = recv(fd, other, CHUNK - 1, 0);
    if (n <= 0) continue;
    other[n] = 0;
    printf("pps=%.0f sent=%ld\n", atol(other) / elapsed, sent);
    return;
  }
  die("the peer doesn't say how many came");
}

static void udpout(int fd, double seconds)
{
  double start = now();
  long got = 0, wanted = 0;
  while (now() - start < seconds) {
    /* Four bursts in flight; lost frames aren't waited for. */
    while (wanted - got < 4 * 256) {
      if (send(fd, "g", 1, 0) != 1) break;
      wanted += 256;
    }
    struct pollfd p = {fd, POLLIN, 0};
    if (poll(&p, 1, 50) == 0) {
      wanted = got;
      continue;
    }
    while (recv(fd, other, CHUNK, 0) > 0) got++;
    if (wanted < got) wanted = got;
  }
  printf("pps=%.0f\n", got / (now() - start));
}

/* The folded sum of RFC 1071. */
static unsigned short sum(unsigned long total, const unsigned char *p, size_t n)
{
  for (size_t i = 0; i + 1 < n; i += 2) total += p[i] << 8 | p[i + 1];
  while (total >> 16) total = (total & 0xffff) + (total >> 16);
  return (unsigned short)~total;
}

/* A SYN, a datagram of 16 bytes, or the first part of a packet whose rest never comes. */
static void flood(const char *interface, const char *mac, const char *host, int port, double rate,
                  double seconds, const char *kind)
{
  int syn = !strcmp(kind, "syn"), fragment = !strcmp(kind, "fragment");
  if (!syn && !fragment && strcmp(kind, "udp")) die("flood: %s: not syn, udp or fragment", kind);
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (fd < 0) die("packet socket: %s", strerror(errno));
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(interface)};
  if (bind(fd, (struct sockaddr *)&address, sizeof address)) die("bind: %s", strerror(errno));
  unsigned char f[60] = {[6] = 2, [12] = 8, [14] = 0x45, [17] = 44, [20] = 0x40, [22] = 64, [23] = 6};
  unsigned m[6];
  if (sscanf(mac, "%x:%x:%x:%x:%x:%x", m, m + 1, m + 2, m + 3, m + 4, m + 5) != 6) die("%s: no MAC", mac);
  for (int i = 0; i < 6; i++) f[i] = (unsigned char)m[i];
  if (inet_pton(AF_INET, host, f + 30) != 1) die("%s: no address", host);
  f[36] = (unsigned char)(port >> 8), f[37] = (unsigned char)port;
  if (syn) f[46] = 0x60, f[47] = 2, f[48] = 0xff, f[54] = 2, f[55] = 4, f[56] = 5, f[57] = 0xb4;
  else f[23] = 17, f[39] = 24;
  if (fragment) f[20] = 0x20;
  int at = syn ? 50 : 40;
  unsigned long long random = 88172645463325252ull;
  double start = now();
  long sent = 0, refused = 0;
  for (double t; (t = now() - start) < seconds;) {
    if (sent + refused >= t * rate) {
      usleep(200);
      continue;
    }
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
    /* 198.18.0.0/15, which is for such tests (RFC 2544). */
    f[26] = 198, f[27] = 18 + (random >> 60 & 1), f[28] = (unsigned char)(random >> 8), f[29] = (unsigned char)random;
    f[34] = (unsigned char)(4 + (random >> 16) % 250), f[35] = (unsigned char)(random >> 24);
    if (syn) memcpy(f + 38, (unsigned char *)&random + 2, 4);
    if (fragment) memcpy(f + 18, (unsigned char *)&random + 2, 2);
    f[24] = f[25] = f[at] = f[at + 1] = 0;
    unsigned short check = sum(0, f + 14, 20);
    f[24] = (unsigned char)(check >> 8), f[25] = (unsigned char)check;
    check = sum(f[23] + 24 + (f[26] << 8 | f[27]) + (f[28] << 8 | f[29]) + (f[30] << 8 | f[31]) + (f[32] << 8 | f[33]),
                f + 34, 24);
    f[at] = (unsigned char)(check >> 8), f[at + 1] = (unsigned char)check;
    if (send(fd, f, 58, 0) == 58) sent++;
    else refused++;
  }
  printf("pps=%.0f refused=%ld\n", sent / (now() - start), refused);
}

static int visit_dial(const char *host, const char *port, int from)
{
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
  if (inet_pton(AF_INET, host, &to.sin_addr) != 1) die("%s: no address", host);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
  if (fd < 0) die("socket: %s", strerror(errno));
  /* HOST's network with another last byte; not every address needs a host. */
  struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr = to.sin_addr};
  ((unsigned char *)&own.sin_addr)[3] = (unsigned char)(100 + from % 127);
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
  if (bind(fd, (struct sockaddr *)&own, sizeof own) && errno != EADDRNOTAVAIL) die("bind: %s", strerror(errno));
  if (connect(fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) die("connect: %s", strerror(errno));
  return fd;
}

static void visit(const char *host, const char *port, long count, int clients)
{
  static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  struct pollfd *polled = calloc((size_t)clients, sizeof *polled);
  long *got = calloc((size_t)clients, sizeof *got);
  long begun = 0, done = 0, failed = 0;
  double start = now();
  for (int i = 0; i < clients; i++) polled[i].fd = -1;
  while (done < count) {
    for (int i = 0; i < clients; i++)
      if (polled[i].fd < 0 && begun < count) {
        polled[i].fd = visit_dial(host, port, (int)begun++);
        polled[i].events = POLLOUT, got[i] = 0;
      }
    if (poll(polled, (nfds_t)clients, stall_ms) <= 0) die("stalled after %ld of %ld connections", done, count);
    for (int i = 0; i < clients; i++) {
      if (polled[i].fd < 0 || !polled[i].revents) continue;
      if (polled[i].events == POLLOUT) {
        if (send(polled[i].fd, request, sizeof request - 1, MSG_NOSIGNAL) == (ssize_t)sizeof request - 1) {
          polled[i].events = POLLIN;
          continue;
        }
        failed++;
      } else {
        ssize_t n = recv(polled[i].fd, other, CHUNK, 0);
        if (n > 0) {
          got[i] += n;
          continue;
        }
        if (n < 0 && errno == EAGAIN) continue;
        if (n < 0 || got[i] < 1024) failed++;
      }
      close(polled[i].fd);
      polled[i].fd = -1, done++;
    }
  }
  printf("rate=%.0f count=%ld failed=%ld\n", count / (now() - start), count, failed);
}

static int dial_udp(const char *host, const char *port)
{
  struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *info;
  int e = getaddrinfo(host, port, &hints, &info);
  if (e) die("%s: %s", host, gai_strerror(e));
  int fd = socket(info->ai_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, info->ai_addr, info->ai_addrlen)) die("udp: %s", strerror(errno));
  freeaddrinfo(info);
  return fd;
}

int main(int argc, char **argv)
{
  if (argc < 5) die("usage: load in|out|echo|copy|hold|frames|udpin|udpout|flood|visit …");
  const char *mode = argv[1], *stall = getenv("LOAD_STALL_MS");
  if (stall) stall_ms = atoi(stall);
  if (!strcmp(mode, "frames")) return frames(argv[2], atof(argv[3]), atoi(argv[4])), 0;
  if (!strcmp(mode, "hold")) {
    if (argc < 6) die("usage: load hold HOST PORT COUNT SECONDS");
    return hold(argv[2], argv[3], atoi(argv[4]), atof(argv[5])), 0;
  }
  if (!strcmp(mode, "flood")) {
    if (argc < 9) die("usage: load flood IFNAME MAC HOST PORT RATE SECONDS syn|udp|fragment");
    return flood(argv[2], argv[3], argv[4], atoi(argv[5]), atof(argv[6]), atof(argv[7]), argv[8]), 0;
  }
  if (!strcmp(mode, "visit")) {
    if (argc < 6) die("usage: load visit HOST PORT COUNT CLIENTS");
    return visit(argv[2], argv[3], atol(argv[4]), atoi(argv[5])), 0;
  }
  if (!strcmp(mode, "udpin")) return udpin(dial_udp(argv[2], argv[3]), atof(argv[4])), 0;
  if (!strcmp(mode, "udpout")) return udpout(dial_udp(argv[2], argv[3]), atof(argv[4])), 0;
  int fd = dial(argv[2], argv[3]);
  connected(fd);
  if (!strcmp(mode, "in")) inward(fd, atof(argv[4]));
  else if (!strcmp(mode, "out")) outward(fd, atof(argv[4]));
  else if (!strcmp(mode, "echo")) echo(fd, atof(argv[4]));
  else if (!strcmp(mode, "copy")) copy(fd, (size_t)atoll(argv[4]));
  else die("unknown mode %s", mode);
  return 0;
}
