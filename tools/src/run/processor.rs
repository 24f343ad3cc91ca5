//! The architecture of the program, and the machine and the options that go with it.

use crate::arch::Arch;
use crate::cli::{Accelerator, Machine, Run, Vmm, value_name};
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
        let (name, other) = (value_name(&machine), machine.arch());
        let reason = format!("{program} is for {arch}, and {name} is a machine with {other}");
        let remedy = format!("give --machine {}", value_name(&Machine::of(arch)));
        return Err(Failure::on(format!("--machine {name}"), reason).remedy(remedy));
    }
    // Other VMMs than QEMU have KVM only.
    let of_host = [
        ("--accel kvm", run.accel == Accelerator::Kvm),
        ("--vmm", run.vmm != Vmm::Qemu),
    ];
    match of_host.iter().find(|(_, given)| *given) {
        Some((option, _)) if !arch.is_host() && run.dry_run.is_none() => {
            let host = Arch::HOST;
            let reason = format!(
                "{program} is for {arch}, and KVM has this machine's own processor, {host}"
            );
            let remedy = format!("leave out {option}, or run it on a machine with {arch}");
            Err(Failure::on(option, reason).remedy(remedy))
        }
        _ => Ok(()),
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
            has_console_driver: None,
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
        for option in ["--accel kvm", "--vmm firecracker", "--vmm cloud-hypervisor"] {
            let text = completed(&run(option), &image)
                .expect_err("no KVM")
                .to_string();
            let option = option
                .replace(" firecracker", "")
                .replace(" cloud-hypervisor", "");
            for word in [&option, "x86_64", "aarch64", "main.exe"] {
                assert!(text.contains(word), "{text}");
            }
        }
        for option in [
            "--vmm firecracker --dry-run",
            "--dry-run=libvirt",
            "--profile a.svg",
            "--trace a",
        ] {
            completed(&run(option), &image).expect(option);
        }
    }
}
