//! While memory is short nothing more is cached, cached data stays usable, and afterwards
//! everything continues.

use crate::common::{mkfs, mount, read_file, write_file};
use crate::exclusive;
use fs::fake::{Disk, Event};
use fs::{Error, OpenFlags, memory, set_memory_short};

#[test]
fn nothing_is_kept_while_memory_is_short() {
    let _alone = exclusive();
    let mut volume = memory::new(1 << 20, None);
    let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE;
    let file = volume.open("file", flags).unwrap();
    assert_eq!(volume.write_at(file, 0, &[1; 5000]), Ok(5000));
    let disk = Disk::new(mkfs(16 << 20, &["-F", "16"]), 512);
    let mut fat = mount(&disk);
    write_file(&mut *fat, "kept", &[7; 9000]).unwrap();
    fat.sync().unwrap();

    set_memory_short(true);
    assert_eq!(volume.write_at(file, 0, &[2; 5000]), Ok(5000));
    assert_eq!(
        volume.write_at(file, 5000, &[3; 50_000]),
        Err(Error::OutOfMemory)
    );
    assert_eq!(volume.open("other", flags), Err(Error::OutOfMemory));
    assert_eq!(volume.mkdir("folder"), Err(Error::OutOfMemory));
    let mut bytes = [0; 5000];
    assert_eq!(volume.read_at(file, 0, &mut bytes), Ok(5000));
    assert_eq!(bytes, [2; 5000]);
    assert_eq!(read_file(&mut *fat, "kept"), Ok(vec![7; 9000]));

    set_memory_short(false);
    assert_eq!(volume.write_at(file, 5000, &[3; 50_000]), Ok(50_000));
    assert_eq!(read_file(&mut *fat, "kept"), Ok(vec![7; 9000]));
}

#[test]
fn an_operation_is_whole_on_the_disk_while_memory_is_short() {
    let _alone = exclusive();
    let disk = Disk::new(mkfs(16 << 20, &["-F", "16"]), 512);
    let mut fat = mount(&disk);
    disk.state().log = Some(Vec::new());
    set_memory_short(true);
    for number in 0..120 {
        let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
        let file = fat.open(&format!("a name of some length {number}"), flags);
        fat.close(file.unwrap()).unwrap();
    }
    fat.sync().unwrap();
    set_memory_short(false);
    // A commit is a batch. A single write precedes it.
    let log = disk.state().log.take().unwrap();
    let early = log.iter().filter(|event| matches!(event, Event::Write(..)));
    assert_eq!(early.count(), 0);
    assert!(log.iter().any(|event| matches!(event, Event::Batch(_))));
}
