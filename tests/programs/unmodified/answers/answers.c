#include "answers.h"

/* Errors by name: the text of an error is not the same in every C library. */
static const char *error(void)
{
    switch (errno) {
    case EACCES: return "EACCES";
    case EAGAIN: return "EAGAIN";
    case EBADF: return "EBADF";
    case EBUSY: return "EBUSY";
    case EEXIST: return "EEXIST";
    case EFAULT: return "EFAULT";
    case EFBIG: return "EFBIG";
    case EINTR: return "EINTR";
    case EINVAL: return "EINVAL";
    case EISDIR: return "EISDIR";
    case ELOOP: return "ELOOP";
    case EMFILE: return "EMFILE";
    case ENAMETOOLONG: return "ENAMETOOLONG";
    case ENOENT: return "ENOENT";
    case ENOMEM: return "ENOMEM";
    case ENOTDIR: return "ENOTDIR";
    case ENOTEMPTY: return "ENOTEMPTY";
    case ENXIO: return "ENXIO";
    case EOPNOTSUPP: return "EOPNOTSUPP";
    case EPERM: return "EPERM";
    case EPIPE: return "EPIPE";
    case ESPIPE: return "ESPIPE";
    case ESRCH: return "ESRCH";
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

void opened(const char *name, int fd)
{
    answer(name, fd < 0 ? -1 : 0);
    if (fd >= 0)
        close(fd);
}

void write_file(const char *path, const char *text)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        answer(path, -1);
    close(fd);
}

void show_file(const char *path)
{
    char text[256];
    int fd = open(path, O_RDONLY);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text);
    if (length < 0)
        answer(path, -1);
    else
        printf("%s: \"%.*s\"\n", path, (int)length, text);
    fflush(stdout);
    close(fd);
}
