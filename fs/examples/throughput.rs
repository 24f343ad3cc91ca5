//! Throughput of a FAT or ext4 volume on a file of the host, and the requests that reach the
//! device.
//!
//! `mkfs.fat -F 32 -C disk.img 1048576; cargo run --release -p fs --example throughput -- disk.img`
//! Writes files named `bench*` and `small.dat` in the image. The figures are those of the file
//! system over the host's page cache, without virtio.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use fs::{Block, BlockError, CacheBudget, OpenFlags, Volume, VolumeOptions, ext4, fat};

const FILE: usize = 128 << 20;
const CHUNK: usize = 64 << 10;
const SMALL: usize = 8 << 20;

static BUDGET: CacheBudget = CacheBudget::new(32 << 20);

#[derive(Default)]
struct Counts {
    reads: AtomicU64,
    writes: AtomicU64,
    flushes: AtomicU64,
}

struct HostFile {
    file: File,
    sectors: u64,
    counts: Arc<Counts>,
}

impl Block for HostFile {
    fn sector_size(&self) -> usize {
        512
    }
    fn sectors(&self) -> u64 {
        self.sectors
    }
    fn read_only(&self) -> bool {
        false
    }
    fn read(&mut self, first_sector: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        self.counts.reads.fetch_add(1, Ordering::Relaxed);
        self.file
            .read_exact_at(buf, first_sector * 512)
            .map_err(|_| BlockError::Io)
    }
    fn write(&mut self, first_sector: u64, buf: &[u8]) -> Result<(), BlockError> {
        self.counts.writes.fetch_add(1, Ordering::Relaxed);
        self.file
            .write_all_at(buf, first_sector * 512)
            .map_err(|_| BlockError::Io)
    }
    fn flush(&mut self) -> Result<(), BlockError> {
        self.counts.flushes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

struct Bench {
    volume: Box<dyn Volume>,
    counts: Arc<Counts>,
}

impl Bench {
    fn mount(path: &str) -> Self {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .expect(path);
        let sectors = file.metadata().expect(path).len() / 512;
        let counts = Arc::new(Counts::default());
        let device = HostFile {
            file,
            sectors,
            counts: counts.clone(),
        };
        let mut signature = [0; 2];
        device.file.read_exact_at(&mut signature, 1080).expect(path);
        let options = VolumeOptions {
            budget: Some(&BUDGET),
            ..VolumeOptions::default()
        };
        let volume = if signature == [0x53, 0xef] {
            ext4::mount(Box::new(device), options)
        } else {
            fat::mount(Box::new(device), options)
        };
        Self {
            volume: volume.unwrap_or_else(|error| panic!("{path}: {error}")),
            counts,
        }
    }

    fn measure(&mut self, name: &str, unit: &str, amount: f64, f: impl FnOnce(&mut dyn Volume)) {
        let c = &self.counts;
        for count in [&c.reads, &c.writes, &c.flushes] {
            count.store(0, Ordering::Relaxed);
        }
        let start = Instant::now();
        f(&mut *self.volume);
        let rate = amount / start.elapsed().as_secs_f64();
        let [reads, writes, flushes] =
            [&c.reads, &c.writes, &c.flushes].map(|count| count.load(Ordering::Relaxed));
        println!(
            "{name:<28} {rate:>9.0} {unit:<6} {reads:>7} reads {writes:>7} writes {flushes:>5} \
            flushes"
        );
    }
}

fn main() {
    let path = std::env::args().nth(1).expect("give a FAT or ext4 image");
    let new = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE;
    let mib = (FILE >> 20) as f64;
    let mut bench = Bench::mount(&path);
    let mut chunk = vec![7; CHUNK];
    bench.measure("write 128 MiB, fsync", "MiB/s", mib, |volume| {
        let file = volume.open("bench.dat", new).unwrap();
        for n in 0..FILE / CHUNK {
            assert_eq!(volume.write_at(file, (n * CHUNK) as u64, &chunk), Ok(CHUNK));
        }
        volume.sync_file(file).unwrap();
        volume.close(file).unwrap();
    });
    let small = bench.volume.open("small.dat", new).unwrap();
    for n in 0..SMALL / CHUNK {
        let written = bench.volume.write_at(small, (n * CHUNK) as u64, &chunk);
        assert_eq!(written, Ok(CHUNK));
    }
    bench.volume.close(small).unwrap();
    bench.volume.sync().unwrap();
    drop(bench);
    bench = Bench::mount(&path);
    bench.measure("read 128 MiB", "MiB/s", mib, |volume| {
        let file = volume.open("bench.dat", OpenFlags::READ).unwrap();
        for n in 0..FILE / CHUNK {
            assert_eq!(
                volume.read_at(file, (n * CHUNK) as u64, &mut chunk),
                Ok(CHUNK)
            );
        }
        volume.close(file).unwrap();
    });
    for name in ["read 8 MiB", "read them again"] {
        bench.measure(name, "MiB/s", (SMALL >> 20) as f64, |volume| {
            let file = volume.open("small.dat", OpenFlags::READ).unwrap();
            for n in 0..SMALL / CHUNK {
                let at = (n * CHUNK) as u64;
                assert_eq!(volume.read_at(file, at, &mut chunk), Ok(CHUNK));
            }
            volume.close(file).unwrap();
        });
    }
    bench.measure("2000 random reads of 4 KiB", "/s", 2000.0, |volume| {
        let file = volume.open("bench.dat", OpenFlags::READ).unwrap();
        for n in 0..2000usize {
            let at = n.wrapping_mul(7919) % (FILE / 4096) * 4096;
            assert_eq!(
                volume.read_at(file, at as u64, &mut chunk[..4096]),
                Ok(4096)
            );
        }
        volume.close(file).unwrap();
    });
    bench.measure("500 fsynced appends of 4 KiB", "/s", 500.0, |volume| {
        let file = volume.open("bench.log", new).unwrap();
        for n in 0..500 {
            assert_eq!(volume.write_at(file, n * 4096, &chunk[..4096]), Ok(4096));
            volume.sync_file(file).unwrap();
        }
        volume.close(file).unwrap();
    });
    volume_of_small_files(&mut bench);
    bench.measure("unlink all three", "/s", 3.0, |volume| {
        volume.unlink("bench.dat").unwrap();
        volume.unlink("bench.log").unwrap();
        volume.unlink("small.dat").unwrap();
        volume.sync().unwrap();
    });
}

fn volume_of_small_files(bench: &mut Bench) {
    let name = |n: u32| format!("bench.d/file with a name {n:04}");
    bench.measure("create 1000 files", "/s", 1000.0, |volume| {
        volume.mkdir("bench.d").unwrap();
        for n in 0..1000 {
            let file = volume
                .open(&name(n), OpenFlags::WRITE | OpenFlags::CREATE)
                .unwrap();
            assert_eq!(volume.write_at(file, 0, &[1; 100]), Ok(100));
            volume.close(file).unwrap();
        }
        volume.sync().unwrap();
    });
    bench.measure("stat 1000 files", "/s", 1000.0, |volume| {
        for n in 0..1000 {
            volume.stat(&name(n)).unwrap();
        }
    });
    bench.measure("delete 1000 files", "/s", 1000.0, |volume| {
        for n in 0..1000 {
            volume.unlink(&name(n)).unwrap();
        }
        volume.rmdir("bench.d").unwrap();
        volume.sync().unwrap();
    });
}
