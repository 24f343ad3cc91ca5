//! Measures the deepest stack use of operations on a FAT or ext4 volume, for small stacks.
//!
//! `cargo run --release -p fs --features fake --example stack -- disk.img`. Runs each operation on
//! a thread of its own whose stack is filled with a pattern, and checks how far it was overwritten.

use std::sync::mpsc;

use fs::fake::Disk;
use fs::{OpenFlags, Volume, ext4, fat};

/// Bytes to watch; the thread's own frames are below them.
const WATCHED: usize = 256 << 10;
const PATTERN: u8 = 0xa5;

/// Calls `f` over `WATCHED` bytes of patterned stack and returns the number of changed bytes.
#[inline(never)]
fn depth_of(f: &mut dyn FnMut()) -> usize {
    paint();
    f();
    inspect()
}

/// Leaves the pattern below its caller's frame.
#[inline(never)]
fn paint() {
    let area = [PATTERN; WATCHED];
    std::hint::black_box(&area);
}

/// Returns the depth down to which the pattern is overwritten. Without `unsafe`, only the process's
/// own memory file shows the memory below a frame.
fn inspect() -> usize {
    use std::os::unix::fs::FileExt;
    let here = 0u8;
    let top = std::hint::black_box(&raw const here).addr();
    let memory = std::fs::File::open("/proc/self/mem").expect("/proc/self/mem");
    let mut area = vec![0; WATCHED - 8192];
    let bottom = top - area.len();
    memory
        .read_exact_at(&mut area, bottom as u64)
        .expect("the stack");
    // Below the deepest frame the pattern is intact.
    let untouched = area
        .iter()
        .position(|byte| *byte != PATTERN)
        .unwrap_or(area.len());
    area.len() - untouched
}

fn mount(disk: &Disk) -> Box<dyn Volume> {
    let is_ext4 = disk.bytes().get(1080..1082) == Some(&[0x53, 0xef]);
    if is_ext4 {
        ext4::mount(Box::new(disk.clone()), ext4::Options::default()).expect("mount")
    } else {
        fat::mount(Box::new(disk.clone()), fat::Options::default()).expect("mount")
    }
}

fn measure(name: &str, f: impl FnMut() + Send + 'static) {
    let mut f = f;
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::Builder::new().stack_size(WATCHED * 2);
    let thread = thread.spawn(move || sender.send(depth_of(&mut f)).expect("receiver"));
    thread.expect("thread").join().expect("operation");
    println!("{name:<24} {:>7} bytes", receiver.recv().expect("depth"));
}

fn main() {
    let path = std::env::args().nth(1).expect("give a FAT or ext4 image");
    let disk = Disk::new(std::fs::read(&path).expect(&path), 512);
    let mounted = disk.clone();
    measure("nothing", || ());
    measure("mount", move || {
        std::mem::forget(mount(&mounted));
    });
    let with = |name: &str, f: fn(&mut dyn Volume)| {
        let mut volume = mount(&disk);
        measure(name, move || f(&mut *volume));
    };
    with("create, write, sync", |volume| {
        let flags = OpenFlags::WRITE | OpenFlags::CREATE;
        let file = volume.open("a file with a long name", flags).expect("open");
        volume.write_at(file, 5000, &[1; 50_000]).expect("write");
        volume.sync_file(file).expect("sync");
        volume.close(file).expect("close");
    });
    with("mkdir, rename over", |volume| {
        volume.mkdir("directory").expect("mkdir");
        let flags = OpenFlags::WRITE | OpenFlags::CREATE;
        let file = volume.open("directory/another", flags).expect("open");
        volume.close(file).expect("close");
        volume
            .rename("directory/another", "a file with a long name")
            .expect("rename");
        volume.sync().expect("sync");
    });
    with("stat, list, space", |volume| {
        volume.stat("a file with a long name").expect("stat");
        let root = volume.open("/", OpenFlags::DIRECTORY).expect("open");
        volume.list(root, 0, &mut |_| true).expect("list");
        volume.space().expect("space");
    });
    with("read, truncate, unlink", |volume| {
        let flags = OpenFlags::READ | OpenFlags::WRITE;
        let file = volume.open("a file with a long name", flags).expect("open");
        volume.truncate(file, 300_000).expect("truncate");
        volume.read_at(file, 3, &mut [0; 10_000]).expect("read");
        volume.truncate(file, 10).expect("truncate");
        volume.close(file).expect("close");
        volume.unlink("a file with a long name").expect("unlink");
        volume.rmdir("directory").expect("rmdir");
        volume.sync().expect("sync");
    });
}
