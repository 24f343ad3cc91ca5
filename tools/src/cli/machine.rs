//! The kinds of machine that QEMU makes.

use crate::arch::Arch;
use clap::ValueEnum;

/// The kinds of machine, by QEMU's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Machine {
    /// Minimal firmware, virtio over MMIO, or over PCI Express with KVM: starts fastest.
    Microvm,
    /// A PC with PCI Express.
    Q35,
    /// A PC with PCI (i440fx): QEMU's default, which launchers of Linux kernels use.
    Pc,
    /// QEMU's generic Arm machine, virtio over MMIO: for images for aarch64.
    Virt,
}

impl Machine {
    /// The machine of images for an architecture, without `--machine`.
    pub const fn of(arch: Arch) -> Self {
        match arch {
            Arch::X86_64 => Self::Microvm,
            Arch::Aarch64 => Self::Virt,
        }
    }

    /// The architecture of its processor.
    pub const fn arch(self) -> Arch {
        match self {
            Self::Microvm | Self::Q35 | Self::Pc => Arch::X86_64,
            Self::Virt => Arch::Aarch64,
        }
    }
}

/// The firmware that boots a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Firmware {
    /// SeaBIOS.
    Bios,
    /// OVMF; AAVMF for arm64.
    Uefi,
}

/// The controller of the disk that firmware boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Controller {
    VirtioBlk,
    VirtioScsi,
    Nvme,
    /// SATA on q35; IDE on pc, which firmware reads and images don't.
    Ide,
}

/// What ends the machine of a program that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnFailure {
    Poweroff,
    Reboot,
    Halt,
}

impl OnFailure {
    /// The variable that names one to an image.
    pub const VARIABLE: &str = "SOIL_ON_FAILURE";
}
