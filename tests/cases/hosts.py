"""Hosts of virtual machines by what they document: the system's daemon of libvirt, virt-install,
and the devices of Proxmox VE, oVirt and OpenStack, each with a disk of `soil image`. Changed are the
accelerator, which is TCG, the host's own paths, bridges and machine types, and the console, which
is a file."""

import os
import shutil
import time

from cases.launchers import FILES, Libvirt
from cases.loaders import OVMF, made
from harness.console import PATIENCE
from harness.context import SOIL, Skip, clean
from harness.runner import test

ECHO = "examples/echo/main.exe"
HELLO = "examples/hello/main.exe"
SERVICE = "examples/service/main.exe"
# A daemon without the host's files: this mount namespace has its own.
DAEMON = """
mount --make-rprivate /
for folder in /run /etc/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt; do
  mkdir -p $folder && mount -t tmpfs none $folder || exit 1
done
cat > /etc/libvirt/qemu.conf <<'END'
security_driver = "none"
user = "root"
group = "root"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
END
# The daemon needs this user, which another package adds, also where it runs QEMU as root.
if ! getent passwd libvirt-qemu >/dev/null; then
  for file in passwd group; do cp /etc/$file /run/$file; done
  echo 'libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin' >>/run/passwd
  echo 'libvirt-qemu:x:64055:' >>/run/group
  for file in passwd group; do mount --bind /run/$file /etc/$file; done
fi
exec libvirtd --config "$1"
"""


class System(Libvirt):
    """libvirt's system daemon, without systemd, in a mount namespace of the test."""

    def __init__(self, context):
        if os.geteuid() != 0:
            raise Skip("the system's daemon of libvirt needs root")
        if not shutil.which("libvirtd") or not shutil.which("virsh"):
            raise Skip("no libvirtd: apt-get install libvirt-daemon libvirt-clients")
        self.context, self.words = context, []
        self.directory = context.path("libvirt")
        os.mkdir(self.directory)
        self.uri = f"qemu+unix:///system?socket={self.directory}/libvirt-sock"

    def __enter__(self):
        super().__enter__()
        settings, script = self.path("libvirtd.conf"), self.path("daemon.sh")
        with open(settings, "w", encoding="utf-8") as file:
            file.write(f'unix_sock_dir = "{self.directory}"\nauth_unix_rw = "none"\n')
        with open(script, "w", encoding="utf-8") as file:
            file.write(DAEMON)
        self.daemon = self.context.child(["unshare", "-m", "sh", "-e", script, settings])
        until = time.monotonic() + PATIENCE
        while self.virsh("version", check=False).returncode != 0:
            assert time.monotonic() < until, self.daemon.text
            time.sleep(0.1)
        return self

    def __exit__(self, *_):
        names = self.virsh("list", "--name").stdout.split()
        for name in names:
            self.virsh("destroy", name, check=False)
        self.daemon.stop()

    def run(self, name, xml):
        """Defines and starts the domain of this XML."""
        path = self.path(f"{name}.xml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(xml)
        self.virsh("define", "--validate", path)
        self.virsh("start", name)


def wait_text(path, text):
    """What a console's file has once it has this text."""
    until = time.monotonic() + PATIENCE
    while True:
        seen = ""
        if os.path.exists(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                seen = clean(file.read())
        if text in seen:
            return seen
        assert time.monotonic() < until, seen
        time.sleep(0.1)


def echo_disk(context, tap, *words):
    """A disk with echo, which has the TAP's address."""
    return made(context, "--env", f"SOIL_IP={tap.guest_cidr}", *words, program=ECHO)


@test(limit=120)
def libvirts_system_daemon(context):
    """The domain of `--dry-run=libvirt` under the system's daemon, by a TAP: echo, then a stop by
    `virsh shutdown`; a disk with ext4 keeps its file."""
    tap = context.tap()
    with System(context) as libvirt:
        libvirt.define(ECHO, f"--net=tap={tap.name}", f"--ip={tap.guest_cidr}")
        tap.wait_free()
        libvirt.virsh("start", "files")
        tap.wait_up()
        context.load("copy", tap.guest, 7, 100_000)
        libvirt.virsh("shutdown", "files")
        libvirt.wait_off("files")
        libvirt.virsh("undefine", "files")
        disk = libvirt.path("data.img")
        context.run(SOIL, "disk", "make", disk, "--size", "16M", "--fs", "ext4")
        libvirt.define(FILES, "--net=none", f"--disk=data={disk}", "--", "leave", "/data/left")
        line = libvirt.start("files")
        with line:
            seen = b""
            until = time.monotonic() + PATIENCE
            while b"written" not in seen:
                assert time.monotonic() < until, seen
                seen += line.read(1024)
            libvirt.virsh("shutdown", "files")
            libvirt.wait_off("files")
        assert context.run("debugfs", "-R", "cat left", disk).stdout == "/data/left"


@test(limit=120)
def virt_install_imports_a_disk(context):
    """`virt-install --osinfo detect=on,require=off --import`: on the machine that it chooses for an
    unknown system, pc with an IDE disk, hello runs to its end; on q35, with a SATA disk, the
    service keeps its data on it, with a card that it chooses; by virtio, too."""
    if not shutil.which("virt-install"):
        raise Skip("no virt-install: apt-get install virtinst")
    with System(context) as libvirt:

        def install(name, disk, network, *words):
            console = libvirt.path(f"{name}.log")
            common = ["--connect", libvirt.uri, "--virt-type", "qemu", "--name", name]
            common += ["--memory", "256", "--vcpus", "1", "--import", "--network", network]
            common += ["--osinfo", "detect=on,require=off", "--graphics", "none"]
            common += ["--serial", f"file,path={console}", "--noautoconsole", "--disk", disk]
            environment = {**libvirt.environment, "XDG_CACHE_HOME": libvirt.directory}
            context.run("virt-install", *common, *words, env=environment)
            return console

        disk = libvirt.path("hello.qcow2")
        made(context, "--format", "qcow2", name=disk, program=HELLO)
        console = install("hello", f"path={disk}", "none", "--wait", "1")
        wait_text(console, "Hello World!\nsoil: status 0\n")
        libvirt.wait_off("hello")
        shown = libvirt.virsh("dumpxml", "hello").stdout
        assert "machine='pc-i440fx" in shown and "bus='ide'" in shown, shown
        for name, machine, bus in (("sata", "q35", "sata"), ("virtio", "pc", "virtio")):
            tap = context.tap()
            tap.wait_free()
            disk = libvirt.path(f"{name}.qcow2")
            words = ["--format", "qcow2", "--data-size", "16M"]
            words += ["--env", f"SOIL_IP={tap.guest_cidr}"]
            made(context, *words, "--", "--port", "80", name=disk, program=SERVICE)
            network = f"type=ethernet,target.dev={tap.name},xpath1.set=./target/@managed=no"
            path = f"path={disk},bus={bus}"
            console = install(name, path, network, "--machine", machine, "--wait", "0")
            wait_text(console, "http: ready")
            url = f"http://{tap.guest}/kv/place"
            context.run("curl", "-sSf", "--max-time", "20", "-X", "PUT", "-d", "kept", url)
            libvirt.virsh("shutdown", name)
            libvirt.wait_off(name)
            libvirt.virsh("start", name)
            wait_text(console, "http: ready")
            assert context.run("curl", "-sSf", "--max-time", "20", url).stdout == "kept"


# vdsm's tests/virt/data/active-merge/00-before.xml (oVirt 4.4), with the card of its documentation.
OVIRT = """<domain type='qemu'>
  <name>ovirt</name>
  <maxMemory slots='16' unit='KiB'>4194304</maxMemory>
  <memory unit='KiB'>1048576</memory>
  <vcpu placement='static' current='1'>16</vcpu>
  <iothreads>1</iothreads>
  <sysinfo type='smbios'><system>
    <entry name='manufacturer'>oVirt</entry><entry name='product'>RHEL</entry>
    <entry name='family'>oVirt</entry>
  </system></sysinfo>
  <os><type arch='x86_64' machine='q35'>hvm</type><smbios mode='sysinfo'/></os>
  <features><acpi/></features>
  <cpu mode='custom' match='exact' check='none'>
    <model fallback='forbid'>SandyBridge</model>
    <topology sockets='16' dies='1' cores='1' threads='1'/>
    <numa><cell id='0' cpus='0-15' memory='1048576' unit='KiB'/></numa>
  </cpu>
  <clock offset='variable' adjustment='0' basis='utc'>
    <timer name='rtc' tickpolicy='catchup'/><timer name='pit' tickpolicy='delay'/>
    <timer name='hpet' present='no'/>
  </clock>
  <pm><suspend-to-mem enabled='no'/><suspend-to-disk enabled='no'/></pm>
  <devices>
    <disk type='file' device='cdrom'>
      <driver name='qemu' error_policy='report'/><target dev='sdc' bus='sata'/><readonly/>
    </disk>
    <disk type='file' device='disk' snapshot='no'>
      <driver name='qemu' type='raw' cache='none' error_policy='stop' io='threads'/>
      <source file='{disk}'/>
      <target dev='sda' bus='scsi'/><serial>222d9718-f2d9-4b95-bd7f-e8dfe565cf56</serial>
      <boot order='1'/>
    </disk>
    <controller type='usb' index='0' model='qemu-xhci' ports='8'/>
    <controller type='scsi' index='0' model='virtio-scsi'><driver iothread='1'/></controller>
    <controller type='virtio-serial' index='0' ports='16'/>
    <interface type='ethernet'>
      <target dev='{tap}' managed='no'/><model type='virtio'/><driver name='qemu' queues='1'/>
      <link state='up'/><mtu size='1500'/>
    </interface>
    <serial type='file'><source path='{console}'/><target port='0'/></serial>
    <channel type='unix'><source mode='bind' path='{folder}/ovirt-guest-agent.0'/>
      <target type='virtio' name='ovirt-guest-agent.0'/></channel>
    <channel type='unix'><source mode='bind' path='{folder}/org.qemu.guest_agent.0'/>
      <target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <input type='tablet' bus='usb'/><input type='mouse' bus='ps2'/><input type='keyboard' bus='ps2'/>
    <video><model type='vga'/></video>
    <memballoon model='virtio'><stats period='5'/></memballoon>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices>
</domain>"""

# A domain of Nova 25 (nova/virt/libvirt/driver.py), with its console's log.
OPENSTACK = """<domain type='qemu'>
  <name>instance-0000000e</name>
  <memory unit='KiB'>65536</memory>
  <vcpu placement='static'>1</vcpu>
  <sysinfo type='smbios'><system>
    <entry name='manufacturer'>OpenStack Foundation</entry>
    <entry name='product'>OpenStack Nova</entry><entry name='version'>25.1.0</entry>
    <entry name='family'>Virtual Machine</entry>
  </system></sysinfo>
  <os><type arch='x86_64' machine='{machine}'>hvm</type><boot dev='hd'/><smbios mode='sysinfo'/></os>
  <features><acpi/><apic/><vmcoreinfo state='on'/></features>
  <cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model>
    <topology sockets='1' dies='1' cores='1' threads='1'/></cpu>
  <clock offset='utc'>
    <timer name='pit' tickpolicy='delay'/><timer name='rtc' tickpolicy='catchup'/>
    <timer name='hpet' present='no'/>
  </clock>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none'/><source file='{disk}'/>
      <target dev='{target}' bus='{bus}'/>
    </disk>
    <interface type='ethernet'>
      <target dev='{tap}' managed='no'/><model type='virtio'/><mtu size='1450'/>
    </interface>
    <serial type='pty'><log file='{console}' append='off'/><target type='isa-serial' port='0'/></serial>
    <console type='pty'><log file='{console}' append='off'/><target type='serial' port='0'/></console>
    <input type='tablet' bus='usb'/><input type='mouse' bus='ps2'/><input type='keyboard' bus='ps2'/>
    <audio id='1' type='none'/>
    <video><model type='virtio' heads='1' primary='yes'/></video>
    <memballoon model='virtio'><stats period='10'/></memballoon>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices>
</domain>"""


def serves(context, libvirt, name, xml, tap, console):
    """The domain boots its disk, answers, and stops at the power button."""
    tap.wait_free()
    libvirt.run(name, xml)
    text = wait_text(console, "listen")
    tap.wait_up()
    context.load("copy", tap.guest, 7, 100_000)
    libvirt.virsh("shutdown", name, "--mode", "acpi")
    libvirt.wait_off(name)
    return text


@test(limit=120)
def ovirts_devices(context):
    """A domain of oVirt: q35 with root ports, virtio-scsi with a thread of its own, virtio-net,
    channels, one of 16 processors, room for more memory."""
    tap = context.tap()
    disk = echo_disk(context, tap)
    with System(context) as libvirt:
        console = libvirt.path("console")
        values = {"disk": disk, "tap": tap.name, "console": console, "folder": libvirt.directory}
        serves(context, libvirt, "ovirt", OVIRT.format(**values), tap, console)


@test(limit=120)
def openstacks_devices(context):
    """A domain of OpenStack's Nova: pc with virtio-blk and q35 with virtio-scsi, virtio-net with the
    MTU of its overlay, the console's log; a processor without random numbers has virtio-rng's."""
    tap = context.tap()
    name = "instance-0000000e"
    with System(context) as libvirt:
        for machine, target, bus in (("pc", "vda", "virtio"), ("q35", "sda", "scsi")):
            disk = echo_disk(context, tap, "--format", "qcow2")
            console = libvirt.path(f"{machine}.log")
            values = {"disk": disk, "tap": tap.name, "console": console, "machine": machine}
            xml = OPENSTACK.format(target=target, bus=bus, **values)
            text = serves(context, libvirt, name, xml, tap, console)
            assert "random numbers come from" not in text, text
            libvirt.virsh("undefine", name)


# Bridges of pve-q35-4.0.cfg, behind which Proxmox VE has the cards of q35.
PVE_Q35 = """i82801b11-bridge,id=pcidmi,bus=pcie.0,addr=0x1e
pci-bridge,id=pci.0,chassis_nr=1,bus=pcidmi,addr=0x1
pci-bridge,id=pci.1,chassis_nr=2,bus=pcidmi,addr=0x2
pci-bridge,id=pci.2,chassis_nr=3,bus=pcidmi,addr=0x3
pci-bridge,id=pci.3,chassis_nr=4,bus=pcidmi,addr=0x4
pcie-root-port,id=ich9-pcie-port-1,multifunction=on,bus=pcie.0,addr=1c.0,port=1,chassis=1
pcie-root-port,id=ich9-pcie-port-2,multifunction=on,bus=pcie.0,addr=1c.1,port=2,chassis=2"""
PVE_PC = """pci-bridge,id=pci.1,chassis_nr=1,bus=pci.0,addr=0x1e
pci-bridge,id=pci.2,chassis_nr=2,bus=pci.0,addr=0x1f
pci-bridge,id=pci.3,chassis_nr=3,bus=pci.0,addr=0x5"""
# The processor of new machines, x86-64-v2-AES, without KVM's own features.
PVE_CPU = "qemu64,+aes,+pni,+popcnt,+sse4.1,+sse4.2,+ssse3"


@test(limit=180)
def proxmoxs_devices(context):
    """Machines as `qm showcmd` has them (qemu-server's src/test/cfg2cmd): pc and q35, SeaBIOS and
    OVMF, virtio-scsi-single behind a bridge, virtio-blk and SATA, virtio-net with large queues,
    e1000 and e1000e, the generation's identifier, the agent's port; with --rng0, and without."""
    tap = context.tap()
    disk = echo_disk(context, tap, "--data-size", "16M")
    scsi = "virtio-scsi-pci,id=virtioscsi0,bus=pci.3,addr=0x1"
    scsi_disk = "scsi-hd,bus=virtioscsi0.0,channel=0,scsi-id=0,lun=0,drive=disk,bootindex=100"
    block = "virtio-blk-pci,drive=disk,id=virtio0,bus=pci.0,addr=0xa,bootindex=100"
    sata = "ide-hd,bus=ahci0.0,drive=disk,id=sata0,bootindex=100"
    ahci = "ahci,id=ahci0,multifunction=on,bus=pci.0,addr=0x7"
    queues = "rx_queue_size=1024,tx_queue_size=256,bootindex=300,host_mtu=1500"
    rng = ["virtio-rng-pci,rng=rng0,max-bytes=1024,period=1000,bus=pci.1,addr=0x1d"]
    for machine, firmware, devices, card, rngs in (
        ("pc,hpet=off", "bios", [scsi, scsi_disk], f"virtio-net-pci,{queues}", rng),
        ("q35,hpet=off", "bios", [scsi, scsi_disk], f"virtio-net-pci,{queues}", []),
        ("q35,hpet=off", "uefi", [block], "e1000e", rng),
        ("pc", "uefi", [ahci, sata], "e1000", []),
    ):
        if firmware == "uefi" and not os.path.exists(OVMF):
            raise Skip("no OVMF: install Debian's package ovmf")
        tap.wait_free()
        pc = machine.startswith("pc")
        power = "PIIX4_PM" if pc else "ICH9-LPC"
        words = ["qemu-system-x86_64", "-no-shutdown", "-nodefaults", "-M", f"{machine},accel=tcg"]
        words += ["-cpu", PVE_CPU]
        words += ["-smp", "1,sockets=1,cores=1,maxcpus=1", "-m", "512", "-nographic"]
        words += ["-boot", "menu=on,strict=on,reboot-timeout=1000", "-serial", "stdio"]
        words += ["-global", f"{power}.disable_s3=1", "-global", f"{power}.disable_s4=1"]
        words += ["-smbios", "type=1,uuid=7b10d7af-b932-4c66-b2c3-3996152ec465"]
        words += ["-drive", f"file={disk},format=raw,if=none,id=disk,cache=none,aio=threads"]
        words += ["-netdev", f"tap,id=net0,ifname={tap.name},script=no,downscript=no"]
        words += ["-object", "rng-random,filename=/dev/urandom,id=rng0"] if rngs else []
        words += ["-chardev", f"socket,id=qga0,path={context.path('qga')},server=on,wait=off"]
        words += ["-bios", OVMF] if firmware == "uefi" else []
        listed = (PVE_PC if pc else PVE_Q35).split("\n")
        listed += ["vmgenid,guid=c773c261-d800-4348-9f5d-167fadd53cf8"]
        listed += ["virtio-serial,id=qga0,bus=pci.0,addr=0x8"]
        listed += ["virtserialport,chardev=qga0,name=org.qemu.guest_agent.0"]
        listed += ["virtio-balloon-pci,id=balloon0,bus=pci.0,addr=0x3", *devices, *rngs]
        listed += [f"{card},mac=A2:C0:43:77:08:A0,netdev=net0,bus=pci.0,addr=0x12,id=net0"]
        child = context.child([*words, *(word for each in listed for word in ("-device", each))])
        child.wait_line("listen")
        context.load("copy", tap.guest, 7, 100_000)
        jitter = "random numbers come from the jitter" in child.text
        used = "the seed of .soil-random-seed" in child.text
        assert rngs and not jitter or not rngs and (jitter or used), child.text
        child.stop()
