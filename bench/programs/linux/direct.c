/* Direct disk access and other system calls that OCaml's Unix lacks. */
#define _GNU_SOURCE
#include <caml/alloc.h>
#include <caml/bigarray.h>
#include <caml/fail.h>
#include <caml/memory.h>
#include <caml/unixsupport.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

value bench_open_direct(value path)
{
  int fd = open(String_val(path), O_RDWR | O_CLOEXEC | (getenv("BUFFERED") ? 0 : O_DIRECT));
  if (fd < 0) caml_uerror("open", path);
  return Val_int(fd);
}

/* Page-aligned memory, never freed: the programs make one buffer each. */
value bench_aligned(value length)
{
  void *data = NULL;
  intnat n = Long_val(length);
  if (posix_memalign(&data, 4096, n)) caml_raise_out_of_memory();
  return caml_ba_alloc(CAML_BA_CHAR | CAML_BA_C_LAYOUT, 1, data, &n);
}

value bench_sync(value unit)
{
  sync();
  return unit;
}

enum { DEPTH = 128 };

/* Linux's native asynchronous I/O: `depth` requests of `size` bytes are kept in flight. */
value bench_transfers(value fd, value write, value depth, value size, value positions)
{
  aio_context_t context = 0;
  struct iocb requests[DEPTH], *start[DEPTH];
  struct io_event ended[DEPTH];
  size_t count = Wosize_val(positions), next = 0, done = 0;
  long most = Long_val(depth) < DEPTH ? Long_val(depth) : DEPTH, ready = 0, n;
  char *data;
  if (posix_memalign((void **)&data, 4096, most * Long_val(size))) caml_raise_out_of_memory();
  memset(data, 'w', most * Long_val(size));
  if (syscall(SYS_io_setup, DEPTH, &context)) caml_uerror("io_setup", Nothing);
  for (long i = 0; i < most; i++) {
    memset(&requests[i], 0, sizeof requests[i]);
    requests[i].aio_lio_opcode = Bool_val(write) ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
    requests[i].aio_fildes = Int_val(fd);
    requests[i].aio_buf = (uintptr_t)(data + i * Long_val(size));
    requests[i].aio_nbytes = Long_val(size);
    start[ready++] = &requests[i];
  }
  while (done < count) {
    long some = 0;
    for (; some < ready && next < count; some++) start[some]->aio_offset = Long_val(Field(positions, next++));
    for (long sent = 0; sent < some; sent += n)
      if ((n = syscall(SYS_io_submit, context, some - sent, start + sent)) < 0) caml_uerror("io_submit", Nothing);
    if ((n = syscall(SYS_io_getevents, context, 1, DEPTH, ended, NULL)) < 0) caml_uerror("io_getevents", Nothing);
    ready = 0;
    for (long i = 0; i < n; i++) {
      if (ended[i].res != Long_val(size)) caml_failwith("a transfer failed");
      start[ready++] = (struct iocb *)(uintptr_t)ended[i].obj;
    }
    done += n;
  }
  syscall(SYS_io_destroy, context);
  free(data);
  return Val_unit;
}

value bench_mount(value device, value place)
{
  if (mount(String_val(device), String_val(place), "ext4", 0, NULL)) caml_uerror("mount", device);
  return Val_unit;
}

struct sets {
  pthread_t thread;
  char path[64], other[68];
  const char *directory, *value;
  long count, length, failed;
};

static int synced(const char *path, int flags, const char *data, long length)
{
  int fd = open(path, flags | O_CLOEXEC, 0644);
  int failed = fd < 0 || (length && write(fd, data, length) != length) || fsync(fd);
  if (fd >= 0) close(fd);
  return failed;
}

/* A new file, synced and renamed, and the directory synced: as in store.ml. */
static void *set(void *of)
{
  struct sets *s = of;
  for (long i = 0; i < s->count && !s->failed; i++)
    s->failed = synced(s->other, O_WRONLY | O_CREAT | O_TRUNC, s->value, s->length) || rename(s->other, s->path) ||
                synced(s->directory, O_RDONLY, NULL, 0);
  return NULL;
}

/* A thread for each key, without OCaml's lock. */
value bench_set_in_threads(value directory, value tasks, value count, value data)
{
  static struct sets all[64];
  long n = Long_val(tasks), failed = n > 64;
  for (long i = 0; i < n && !failed; i++) {
    all[i] = (struct sets){ .directory = String_val(directory), .value = String_val(data), .count = Long_val(count),
                            .length = caml_string_length(data) };
    snprintf(all[i].path, sizeof all[i].path, "%s/key %ld", String_val(directory), i);
    snprintf(all[i].other, sizeof all[i].other, "%s.new", all[i].path);
    failed = pthread_create(&all[i].thread, NULL, set, &all[i]);
    if (failed) n = i;
  }
  for (long i = 0; i < n && n <= 64; i++) {
    pthread_join(all[i].thread, NULL);
    failed |= all[i].failed;
  }
  if (failed) caml_failwith("a set failed");
  return Val_unit;
}

struct appends {
  pthread_t thread;
  int fd, failed;
  long count, length;
  const char *data;
};

static void *append(void *of)
{
  struct appends *a = of;
  for (long i = 0; i < a->count && !a->failed; i++)
    a->failed = write(a->fd, a->data, a->length) != a->length || fsync(a->fd);
  return NULL;
}

/* A thread for each file, without OCaml's lock. */
value bench_append_in_threads(value fds, value count, value data)
{
  struct appends all[64];
  long n = Wosize_val(fds), failed = n > 64;
  for (long i = 0; i < n && !failed; i++) {
    all[i] = (struct appends){ .fd = Int_val(Field(fds, i)), .count = Long_val(count),
                               .length = Caml_ba_array_val(data)->dim[0], .data = Caml_ba_data_val(data) };
    failed = pthread_create(&all[i].thread, NULL, append, &all[i]);
    if (failed) n = i;
  }
  for (long i = 0; i < n && n <= 64; i++) {
    pthread_join(all[i].thread, NULL);
    failed |= all[i].failed;
  }
  if (failed) caml_failwith("an append failed");
  return Val_unit;
}
