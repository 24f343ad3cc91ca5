//! The stand-in for a test of the library soil-sim: a shell script that follows the contract.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The beginning of every stand-in. `report VERDICT [MEMBERS]` writes the report and ends.
const CONTRACT: &str = r#"#!/bin/bash
seed=$SOIL_SIM_SEED
has() { [ -z "${SOIL_SIM_FAULTS+set}" ] || [[ ",$SOIL_SIM_FAULTS," == *",$1,"* ]]; }
report() {
  printf '{"seed":%s,"verdict":"%s","hash":"%s"%s}' "$seed" "$1" "${hash-9f$seed}" "$2" \
    >&"$SOIL_SIM_REPORT"
  case $1 in passed) exit 0 ;; failed) exit 1 ;; *) exit 2 ;; esac
}
"#;

/// A system with eight faults and 40 operations. Every third seed fails at 4.17 s, once the faults
/// 3 and 6 have happened, if each client does at least two operations.
pub const ONE_LEADER: &str = r#"
operations=${SOIL_SIM_OPERATIONS:-40}
[ "$operations" -le 40 ] || operations=40
end=${SOIL_SIM_UNTIL:-60000000000}
faults=
for id in 0 1 2 3 4 5 6 7; do
  at=$((id * 500000000))
  if has "$id" && [ "$at" -lt "$end" ]; then
    name=kill what=db1
    [ "$id" != 3 ] || { name=partition what='db0 | db1 db2'; }
    faults+="${faults:+,}{\"id\":$id,\"name\":\"$name\",\"what\":\"$what\",\"at\":$at}"
  fi
done
if [ -n "$SOIL_SIM_TRACE" ]; then
  {
    echo '{"t":0,"k":"start","node":"db0"}'
    echo '{"t":5,"k":"send","from":"db0","to":"db1","at":null,"bytes":74,"what":"tcp"}'
    echo '{"t":9,"k":"check","name":"one leader","message":"two"}'
  } >"$SOIL_SIM_TRACE"
fi
members=",\"operations\":$operations,\"faults\":[$faults]"
members+=',"covered":{"kill":7,"partition":1},"sometimes":{"a leader fell":1}'
if [ $((seed % 3)) = 2 ] && has 3 && has 6 && [ "$operations" -ge 2 ] &&
  [ "$end" -ge 4170000000 ]; then
  members+=",\"virtual_ns\":4170000000,\"check\":\"one leader\""
  report failed "$members,\"message\":\"db0 and db2 both lead in term $seed\\nsince 4 s\""
fi
report passed "$members,\"virtual_ns\":$end"
"#;

/// A test in a folder of its own.
pub struct Test {
    folder: tempfile::TempDir,
}

impl Test {
    pub fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let test = Self { folder };
        write_script(&test.path("test.exe"), &format!("{CONTRACT}{script}"));
        test
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `soil simulate test.exe` in the test's folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_soil"));
        command
            .args(["simulate", "test.exe", "--jobs", "2"])
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("INSIDE_DUNE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&self.command(arguments).output().expect("soil starts"))
    }

    /// The lines of a file that the test has written.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).expect("written");
        text.lines().map(str::to_owned).collect()
    }
}

/// The stand-in as a file that another program copies.
pub fn script(text: &str) -> String {
    format!("{CONTRACT}{text}")
}

/// Writes a program. A shell does: children of other tests, between their fork and exec, would
/// otherwise hold it open for writing, and exec fails then ("Text file busy").
pub fn write_script(path: &Path, text: &str) {
    let mut writer = Command::new("sh")
        .args(["-c", "cat >\"$0\" && chmod 755 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .expect("sh runs");
    let mut input = writer.stdin.take().expect("piped");
    input.write_all(text.as_bytes()).expect("written");
    drop(input);
    assert!(writer.wait().expect("waited for").success());
}

/// The end of a run.
#[derive(Debug)]
pub struct Ran {
    pub status: Option<i32>,
    pub output: String,
    pub errors: String,
}

impl Ran {
    pub fn of(output: &Output) -> Self {
        Self {
            status: output.status.code(),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The output without its last line, which has times.
    pub fn without_times(&self) -> String {
        let lines: Vec<&str> = self.output.lines().collect();
        let (_, rest) = lines.split_last().expect("a last line");
        rest.iter().map(|line| format!("{line}\n")).collect()
    }
}
