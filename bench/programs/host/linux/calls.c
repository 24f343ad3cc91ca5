/* System calls that OCaml's Unix lacks. */
#define _GNU_SOURCE
#include <sys/socket.h>
#include <caml/memory.h>
#include <caml/signals.h>
#include <caml/unixsupport.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/vm_sockets.h>
#include <sys/ioctl.h>
#include <unistd.h>

value bench_vsock_listen(value port)
{
  struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = Long_val(port)};
  int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 16)) caml_uerror("vsock", Nothing);
  return Val_int(fd);
}

value bench_vsock_accept(value listener)
{
  caml_enter_blocking_section();
  int fd = accept4(Int_val(listener), NULL, NULL, SOCK_CLOEXEC);
  caml_leave_blocking_section();
  if (fd < 0) caml_uerror("accept", Nothing);
  return Val_int(fd);
}

value bench_freeze(value folder, value frozen)
{
  int fd = open(String_val(folder), O_RDONLY | O_CLOEXEC), failed = fd < 0;
  unsigned long request = Bool_val(frozen) ? FIFREEZE : FITHAW;
  caml_enter_blocking_section();
  failed = failed || ioctl(fd, request, 0);
  caml_leave_blocking_section();
  if (failed) caml_uerror("freeze", folder);
  close(fd);
  return Val_unit;
}
