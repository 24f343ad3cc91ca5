//! One request to a VMM's API: HTTP on a UNIX socket.

use crate::run::machine::GRACE;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(100);
/// Time for one answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The request that asks a machine to stop.
pub struct Api {
    socket: PathBuf,
    path: &'static str,
    body: &'static str,
}

impl Api {
    /// Firecracker's Ctrl-Alt-Del: docs/api_requests/actions.md.
    pub fn firecracker(socket: PathBuf) -> Self {
        Self {
            socket,
            path: "/actions",
            body: "{\"action_type\":\"SendCtrlAltDel\"}",
        }
    }

    /// Cloud Hypervisor's power button: docs/api.md.
    pub fn cloud_hypervisor(socket: PathBuf) -> Self {
        Self {
            socket,
            path: "/api/v1/vm.power-button",
            body: "",
        }
    }

    /// Sends the request from a thread, until the VMM has accepted it or the machine's time for the
    /// answer is over.
    pub fn send(&self) {
        let socket = self.socket.clone();
        let request = self.request();
        let end = Instant::now() + GRACE;
        thread::spawn(move || {
            // The VMM refuses it while the machine isn't ready, or its keyboard's buffer is full.
            while Instant::now() < end && !accepted(&socket, &request).unwrap_or(false) {
                thread::sleep(PAUSE);
            }
        });
    }

    fn request(&self) -> String {
        let (path, body, length) = (self.path, self.body, self.body.len());
        format!(
            "PUT {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    }
}

/// Whether the VMM accepts the request.
fn accepted(socket: &Path, request: &str) -> io::Result<bool> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let status = line.split(' ').nth(1);
    Ok(status.is_some_and(|status| status.starts_with('2')))
}

#[cfg(test)]
mod tests {
    use super::Api;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_refused_request_is_repeated_until_it_is_accepted() {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("api");
        let listener = UnixListener::bind(&socket).expect("bound");
        Api::firecracker(socket).send();
        for answer in ["400 Bad Request", "204 No Content"] {
            let (mut stream, _) = listener.accept().expect("a request");
            let mut bytes = vec![0; 1024];
            let mut request = String::new();
            while !request.ends_with('}') {
                let count = stream.read(&mut bytes).expect("more");
                assert!(count > 0, "{request}");
                request.push_str(std::str::from_utf8(&bytes[..count]).expect("ASCII"));
            }
            assert!(
                request.starts_with("PUT /actions HTTP/1.1\r\n"),
                "{request}"
            );
            let body = "\r\n\r\n{\"action_type\":\"SendCtrlAltDel\"}";
            assert!(request.contains("Content-Length: 32\r\n"), "{request}");
            assert!(request.ends_with(body), "{request}");
            stream
                .write_all(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes())
                .expect("answered");
        }
        listener.set_nonblocking(true).expect("set");
        std::thread::sleep(3 * super::PAUSE);
        assert!(
            listener.accept().is_err(),
            "accepted requests aren't repeated"
        );
    }
}
