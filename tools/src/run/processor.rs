//! The architecture of the program, and the machine and the options that go with it.

use crate::arch::Arch;
use crate::cli::{Accelerator, Launcher, Machine, Run, Vmm};
use crate::failure::Failure;
use crate::program::{Form, Program};

/// Returns the options with the machine of the program's architecture. Refuses a program that this
/// machine can't run, and options that an image for its architecture doesn't have.
pub fn completed(run: &Run, program: &Program) -> Result<Run, Failure> {
    let mut completed = run.clone();
    let arch = program.arch;
    match program.form {
        Form::Process if !arch.is_host() => {
            let reason = format!(
                "a Linux executable for {arch}, and this machine is {}",
                Arch::HOST
            );
            let remedy = format!("give its image, below _build/{}", arch.context());
            Err(Failure::on(&run.program, reason).remedy(remedy))
        }
        Form::Process => Ok(completed),
        Form::Image => {
            check(run, arch)?;
            completed.given_machine.get_or_insert(Machine::of(arch));
            Ok(completed)
        }
    }
}

/// Checks that the options fit to an image for this architecture.
fn check(run: &Run, arch: Arch) -> Result<(), Failure> {
    let program = run.program.display();
    if let Some(machine) = run.given_machine
        && machine.arch() != arch
    {
        let (name, other) = (machine.name(), machine.arch());
        let reason = format!("{program} is for {arch}, and {name} is a machine with {other}");
        let remedy = format!("give --machine {}", Machine::of(arch).name());
        return Err(Failure::on(format!("--machine {name}"), reason).remedy(remedy));
    }
    if run.accel == Accelerator::Kvm && !arch.is_host() && run.dry_run.is_none() {
        let host = Arch::HOST;
        let reason = format!("{program} is for {arch}, and the processor here is {host}");
        return Err(Failure::on("--accel kvm", reason).remedy("leave out --accel kvm"));
    }
    let refused = match arch {
        Arch::X86_64 => return Ok(()),
        Arch::Aarch64 => [
            ("--vmm", run.vmm != Vmm::Qemu),
            ("--dry-run=libvirt", run.dry_run == Some(Launcher::Libvirt)),
            ("--profile", run.profile.is_some()),
            ("--trace", run.trace.is_some()),
        ],
    };
    match refused.iter().find(|(_, given)| *given) {
        Some((option, _)) => {
            let other = Arch::X86_64;
            let reason = format!("for images for {other} only, and {program} is for {arch}");
            let remedy = format!("leave out {option}, or give the image for {other}");
            Err(Failure::on(option, reason).remedy(remedy))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::completed;
    use crate::arch::Arch;
    use crate::cli::{Cli, Command, Machine, Run};
    use crate::program::{Form, Program};
    use clap::Parser as _;

    fn run(words: &str) -> Run {
        let words = format!("soil run main.exe {words}");
        match Cli::try_parse_from(words.split_whitespace())
            .expect("valid")
            .command
        {
            Command::Run(run) => *run,
            other => panic!("parsed as {other:?}"),
        }
    }

    fn program(form: Form, arch: Arch) -> Program {
        Program {
            form,
            arch,
            network: None,
            shows_console: None,
            has_needs: false,
            has_sections: true,
        }
    }

    #[test]
    fn an_image_gets_the_machine_of_its_architecture() {
        for (arch, machine) in [
            (Arch::X86_64, Machine::Microvm),
            (Arch::Aarch64, Machine::Virt),
        ] {
            let done = completed(&run(""), &program(Form::Image, arch)).expect("fits");
            assert_eq!(done.machine(), machine);
        }
        let pc = program(Form::Image, Arch::X86_64);
        let done = completed(&run("--machine q35"), &pc).expect("fits");
        assert_eq!(done.machine(), Machine::Q35);
    }

    #[test]
    fn what_an_architecture_lacks_is_an_error_that_names_both() {
        for (words, arch) in [
            ("--machine q35", Arch::Aarch64),
            ("--machine virt", Arch::X86_64),
            ("--vmm firecracker", Arch::Aarch64),
            ("--profile a.svg", Arch::Aarch64),
            ("--trace a", Arch::Aarch64),
            ("--dry-run=libvirt", Arch::Aarch64),
        ] {
            let error = completed(&run(words), &program(Form::Image, arch)).expect_err(words);
            let text = error.to_string();
            let option = words.split(' ').next().unwrap_or(words);
            for word in [option, "x86_64", "aarch64", "main.exe"] {
                assert!(text.contains(word), "{words}: {text}");
            }
        }
        let other = match Arch::HOST {
            Arch::X86_64 => Arch::Aarch64,
            Arch::Aarch64 => Arch::X86_64,
        };
        let error = completed(&run(""), &program(Form::Process, other)).expect_err("foreign");
        let text = error.to_string();
        assert!(
            text.contains("x86_64") && text.contains("aarch64"),
            "{text}"
        );
        let image = program(Form::Image, other);
        let machine = Machine::of(other).name();
        let words = format!("--machine {machine} --accel kvm");
        let error = completed(&run(&words), &image).expect_err("no KVM");
        assert!(error.to_string().contains("--accel kvm"));
    }
}
