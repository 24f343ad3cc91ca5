/* epoll(7) for the engine, with events as OCaml's integers. Nothing here blocks. */

#include <caml/mlvalues.h>
#include <errno.h>
#include <sys/epoll.h>

#define BATCH 256

/* A new set, or minus an error number. */
value soil_lwt_epoll_create(value unit)
{
  int set = epoll_create1(EPOLL_CLOEXEC);
  (void)unit;
  return Val_int(set < 0 ? -errno : set);
}

/* Waits for reading (1) and writing (2) of a descriptor, or for nothing (0), instead of what it
   waited for. False if the descriptor can't be waited for: a regular file, or none. */
value soil_lwt_epoll_set(value set, value fd, value before, value after)
{
  int wanted = Int_val(after);
  struct epoll_event event = { .data.fd = Int_val(fd) };
  int operation = wanted == 0           ? EPOLL_CTL_DEL
                  : Int_val(before) == 0 ? EPOLL_CTL_ADD
                                         : EPOLL_CTL_MOD;
  event.events = (wanted & 1 ? EPOLLIN | EPOLLRDHUP : 0) | (wanted & 2 ? EPOLLOUT : 0);
  return Val_bool(epoll_ctl(Int_val(set), operation, Int_val(fd), &event) == 0);
}

/* The events now, at most BATCH: a descriptor and what is ready, one after the other, in an array
   of integers; their number. */
value soil_lwt_epoll_look(value set, value into)
{
  struct epoll_event found[BATCH];
  int n = epoll_wait(Int_val(set), found, BATCH, 0);
  for (int i = 0; i < n; i++) {
    int over = found[i].events & (EPOLLERR | EPOLLHUP);
    int reads = over || found[i].events & (EPOLLIN | EPOLLRDHUP);
    int writes = over || found[i].events & EPOLLOUT;
    /* Integers in place of integers: the collector need not know. */
    Field(into, 2 * i) = Val_int(found[i].data.fd);
    Field(into, 2 * i + 1) = Val_int(reads | writes << 1);
  }
  return Val_int(n < 0 ? 0 : n);
}
