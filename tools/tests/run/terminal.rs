//! `soil run` on a terminal, as a job of a shell and by itself.

use crate::machine::{Machine, signal, status_of, wait_until};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, ioctl_tiocsctty, kill_process, setsid};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{SpecialCodeIndex, tcgetattr};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

/// A pseudoterminal and what it shows.
struct Terminal {
    master: File,
    child: Child,
    shown: Arc<Mutex<String>>,
    /// The part that was checked.
    seen: usize,
}

impl Terminal {
    /// Starts a program that leads the terminal's session; `prepare` gets the program's end first.
    fn start(mut command: Command, prepare: impl Fn(&File)) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .expect("a pseudoterminal");
        grantpt(&master).expect("granted");
        unlockpt(&master).expect("unlocked");
        let name = ptsname(&master, Vec::new()).expect("a name");
        let slave = OpenOptions::new()
            .read(true)
            .write(true)
            // A session without a terminal whose leader the tests are would make it theirs.
            .custom_flags(libc::O_NOCTTY)
            .open(std::ffi::OsStr::from_bytes(name.as_bytes()))
            .expect("open");
        prepare(&slave);
        let copy = || OwnedFd::from(slave.try_clone().expect("copied"));
        command.stdin(copy()).stdout(copy()).stderr(copy());
        // SAFETY: between fork and exec only system calls are made.
        unsafe {
            command.pre_exec(|| {
                setsid()?;
                Ok(ioctl_tiocsctty(std::io::stdin())?)
            });
        }
        let child = command.spawn().expect("it starts");
        let master = File::from(master);
        let shown = Arc::new(Mutex::new(String::new()));
        let (mut from, to) = (master.try_clone().expect("copied"), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // EIO when all others have closed it.
            while let Ok(count) = from.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..count]);
                to.lock().expect("whole").push_str(&text);
            }
        });
        Self {
            master,
            child,
            shown,
            seen: 0,
        }
    }

    fn type_keys(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("written");
    }

    /// Waits until `text` is shown behind what was seen before.
    fn see(&mut self, text: &str) {
        let (shown, seen) = (Arc::clone(&self.shown), &mut self.seen);
        wait_until(text, || {
            let shown = shown.lock().expect("whole");
            let found = shown[*seen..].find(text);
            *seen += found.map_or(0, |at| at + text.len());
            found.is_some()
        });
    }

    fn second_line_end(&self) -> u8 {
        let terminal = tcgetattr(&self.master).expect("a terminal");
        terminal.special_codes[SpecialCodeIndex::VEOL]
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("shown: {:?}", self.shown.lock());
        }
        // A job in the background would outlive its shell.
        for process in session(self.child.id()) {
            let _ = kill_process(process, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// The processes of a session (proc_pid_stat(5): the fourth field after the name).
fn session(leader: u32) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").expect("/proc is mounted");
    let is_in = |entry: &std::fs::DirEntry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let fields = stat.rsplit(") ").next().unwrap_or_default();
        fields.split(' ').nth(3) == Some(&leader.to_string())
    };
    entries
        .filter_map(Result::ok)
        .filter(is_in)
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .collect()
}

/// Shows each line that it gets in brackets. What isn't a terminal's line may have no end.
const ECHOES: &str =
    "echo SOIL-INPUT >&8\necho ready\nwhile read -r line; do echo \"[$line]\"; done\n";

/// A shell with job control, and the command that it is to run.
fn shell(machine: &Machine) -> (Terminal, String) {
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "--noediting", "-i"]);
    bash.env("PS1", "$ ").env_remove("HISTFILE");
    let soil = machine.command(&[]);
    let words: Vec<String> = [soil.get_program()]
        .into_iter()
        .chain(soil.get_args())
        .map(|word| format!("'{}'", word.to_str().expect("plain")))
        .collect();
    (Terminal::start(bash, |_| ()), words.join(" "))
}

#[test]
fn a_job_that_comes_to_the_foreground_reads() {
    let machine = Machine::new(ECHOES);
    let (mut terminal, command) = shell(&machine);
    terminal.type_keys(&format!("{command} &\n"));
    terminal.see("ready\r\n");
    terminal.type_keys("echo the shell has $((1 + 1))\n");
    terminal.see("the shell has 2\r\n");
    terminal.type_keys("fg\n");
    terminal.see("soil");
    terminal.type_keys("hello\n");
    terminal.see("[hello]\r\n");
}

#[test]
fn a_job_that_goes_to_the_background_runs_on_and_leaves_the_terminal() {
    // A line of its own now and then, as one without a terminal.
    let machine = Machine::new(&format!(
        "(while sleep 0.2; do echo tick; done) &\n{ECHOES}"
    ));
    let (mut terminal, command) = shell(&machine);
    terminal.type_keys(&format!("{command}\n"));
    terminal.see("ready\r\n");
    terminal.type_keys("one\n");
    terminal.see("[one]\r\n");
    terminal.see("tick");
    terminal.type_keys("\x1a");
    terminal.see("Stopped");
    // The machine stands still as well.
    // Without what else `ps` says of a process, such as that it is nice.
    terminal.type_keys(
        "until [ \"$(ps -o stat= --ppid $(jobs -p) | tr -d '[:lower:]\\nN<+')\" = T ]; \
         do sleep 0.1; done; echo $((1 + 1)) stopped\n",
    );
    terminal.see("2 stopped\r\n");
    terminal.type_keys("bg\n");
    terminal.see("tick\r\n");
    // The shell's, though the job waits for a line.
    for round in 0..3 {
        terminal.type_keys(&format!("echo $(({round} + 40)) lines\n"));
        terminal.see(&format!("{} lines\r\n", round + 40));
        terminal.see("tick\r\n");
    }
    terminal.type_keys("jobs -r | wc -l | sed 's/^/running: /'\n");
    terminal.see("running: 1\r\n");
    terminal.type_keys("fg\n");
    terminal.type_keys("two\n");
    terminal.see("[two]\r\n");
}

#[test]
fn the_key_for_a_report_is_given_back_however_a_run_ends() {
    for (key, name, expected) in [("\x1c", "QUIT", 131), ("\x03\x03", "INT", 130)] {
        for by_key in [true, false] {
            let machine = Machine::new(ECHOES);
            let mut terminal = Terminal::start(machine.command(&[]), |_| ());
            terminal.see("ready");
            wait_until("Ctrl-T ends a line", || terminal.second_line_end() == 0x14);
            if by_key {
                terminal.type_keys(key);
            } else {
                signal(&terminal.child, name);
                if name == "INT" {
                    terminal.see("asked the program to stop");
                    signal(&terminal.child, name);
                }
            }
            assert_eq!(status_of(&mut terminal.child), Some(expected), "{name}");
            assert_eq!(terminal.second_line_end(), 0, "{name}");
        }
    }
}

#[test]
fn a_terminal_that_does_not_block_is_waited_for() {
    let machine = Machine::new(
        "echo SOIL-INPUT >&8\necho ready\nhead -c 2 | od -An -tx1\necho SOIL-EXIT 0 >&8\n",
    );
    let mut terminal = Terminal::start(machine.command(&[]), |slave| {
        let flags = fcntl_getfl(slave).expect("flags");
        fcntl_setfl(slave, flags | OFlags::NONBLOCK).expect("set");
    });
    terminal.see("ready\r\n");
    std::thread::sleep(std::time::Duration::from_millis(200));
    terminal.type_keys("a\n");
    terminal.see(" 61 0a\r\n");
    assert_eq!(status_of(&mut terminal.child), Some(0));
}
