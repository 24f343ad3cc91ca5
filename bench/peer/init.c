/* PID 1 of the Linux micro-VM that Soil is compared with.

   Its configuration is the kernel command line: NAME=VALUE words that the kernel does not know are
   this process's environment.
     MODS=a,b      kernel modules /m/a.ko, /m/b.ko, loaded in this order; a missing one is part of the kernel
     IP=A.B.C.D    address of eth0, /24; lo and eth0 are brought up
     GATEWAY=A.B.C.D  a route to all others, with IP
     MNT=TYPE      mount /dev/vda on /mnt with this file-system type
     MNTS=D:T,…    mount /dev/D on /mnt/D with the file-system type T, for each
     DEV=1         mount devtmpfs on /dev (for the raw disk)
     DISK=/dev/D   with DEV, wait for this disk: SCSI and NVMe find theirs in the background
     RUN=/p,a,b    the program and its arguments
   It ends with the reboot that `reboot=t` and QEMU's -no-reboot turn into an exit. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void load_modules(char *names)
{
  for (char *name = strtok(names, ","); name; name = strtok(NULL, ",")) {
    char path[64];
    snprintf(path, sizeof path, "/m/%s.ko", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) continue;
    if (fd < 0 || syscall(SYS_finit_module, fd, "", 0)) perror(path);
    if (fd >= 0) close(fd);
  }
}

/* A flood's addresses are answered through it, as Soil answers them through its gateway. */
static void route_by(int s, const char *gateway)
{
  struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
  struct sockaddr_in *to = (struct sockaddr_in *)&route.rt_gateway;
  route.rt_dst.sa_family = route.rt_genmask.sa_family = AF_INET;
  to->sin_family = AF_INET;
  inet_pton(AF_INET, gateway, &to->sin_addr);
  if (ioctl(s, SIOCADDRT, &route)) perror(gateway);
}

static void bring_up(int s, const char *device, const char *address, const char *mask)
{
  struct ifreq request = {0};
  struct sockaddr_in *in = (struct sockaddr_in *)&request.ifr_addr;
  strncpy(request.ifr_name, device, IFNAMSIZ - 1);
  in->sin_family = AF_INET;
  inet_pton(AF_INET, address, &in->sin_addr);
  if (ioctl(s, SIOCSIFADDR, &request)) perror(device);
  inet_pton(AF_INET, mask, &in->sin_addr);
  if (ioctl(s, SIOCSIFNETMASK, &request)) perror(device);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (ioctl(s, SIOCSIFFLAGS, &request)) perror(device);
}

/* Mounts each DEVICE:TYPE of `names`, or unmounts it; the words stay as they are. */
static void each_mount(const char *names, int (*act)(const char *device, const char *place, const char *type))
{
  while (*names) {
    char device[48] = "/dev/", place[48] = "/mnt/", type[16] = "";
    int used = 0;
    if (sscanf(names, "%15[^:]:%15[^,]%n", device + 5, type, &used) != 2) break;
    strcpy(place + 5, device + 5);
    if (act(device, place, type)) perror(place);
    names += used + (names[used] == ',');
  }
}

static int mount_one(const char *device, const char *place, const char *type)
{
  mkdir(place, 0755);
  return mount(device, place, type, 0, NULL);
}

static int unmount_one(const char *device, const char *place, const char *type)
{
  (void)device, (void)type;
  return umount(place);
}

static void run(char *words)
{
  char *argv[40];
  int n = 0;
  for (char *w = strtok(words, ","); w && n < 39; w = strtok(NULL, ",")) argv[n++] = w;
  argv[n] = NULL;
  pid_t child = vfork();
  if (child == 0) {
    execv(argv[0], argv);
    _exit(127);
  }
  waitpid(child, NULL, 0);
}

int main(void)
{
  char *value;
  char app[] = "/app";
  if ((value = getenv("MODS"))) load_modules(value);
  if (getenv("DEV")) mount("dev", "/dev", "devtmpfs", 0, NULL);
  if ((value = getenv("DISK")))
    for (int turns = 0; access(value, F_OK) && turns < 10000; turns++) usleep(1000);
  if ((value = getenv("IP"))) {
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bring_up(s, "lo", "127.0.0.1", "255.0.0.0");
    bring_up(s, "eth0", value, "255.255.255.0");
    if ((value = getenv("GATEWAY"))) route_by(s, value);
    close(s);
  }
  if ((value = getenv("MNT")) && mount("/dev/vda", "/mnt", value, 0, NULL)) perror("/mnt");
  char *mounts = getenv("MNTS");
  if (mounts) each_mount(mounts, mount_one);
  value = getenv("RUN");
  run(value ? value : app);
  if (mounts) each_mount(mounts, unmount_one);
  if (getenv("MNT")) umount("/mnt");
  sync();
  reboot(RB_AUTOBOOT);
  return 1;
}
