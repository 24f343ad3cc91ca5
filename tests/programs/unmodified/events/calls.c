#include "calls.h"

static const char *error(void)
{
    switch (errno) {
    case EAGAIN: return "EAGAIN";
    case EBADF: return "EBADF";
    case EISDIR: return "EISDIR";
    case EMFILE: return "EMFILE";
    case EOPNOTSUPP: return "EOPNOTSUPP";
    case ENOMEM: return "ENOMEM";
    case ESPIPE: return "ESPIPE";
    case ESRCH: return "ESRCH";
    case EEXIST: return "EEXIST";
    case EFAULT: return "EFAULT";
    case EINTR: return "EINTR";
    case EINVAL: return "EINVAL";
    case ELOOP: return "ELOOP";
    case ENOENT: return "ENOENT";
    case EPERM: return "EPERM";
    case EPIPE: return "EPIPE";
    default: return strerror(errno);
    }
}

void answer(const char *name, long result)
{
    if (result < 0)
        printf("%s: %s\n", name, error());
    else
        printf("%s: %ld\n", name, result);
    fflush(stdout);
}
