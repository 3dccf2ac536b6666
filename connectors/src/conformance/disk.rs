//! What every [`Disk`] promises as long as nothing crashes; what crashes leave only a simulated disk can show.

use std::io::ErrorKind;

use crate::contract::disk::Disk;

/// Runs the suite; each part gets an empty disk of its own. Files that the disk keeps for itself are let be.
pub fn suite(fresh: &dyn Fn() -> Box<dyn Disk>) {
    let parts: [fn(&dyn Disk); 5] = [
        names_come_and_go,
        a_rename_replaces_and_open_files_follow,
        writes_land_where_they_are_told,
        a_read_is_whole_or_none,
        many_threads_write_one_file,
    ];
    for part in parts {
        part(&*fresh());
    }
}

fn names(disk: &dyn Disk) -> Vec<String> {
    let mut names: Vec<String> =
        disk.list().unwrap().into_iter().filter(|name| name.starts_with("t-")).collect();
    names.sort();
    names
}

fn kind<T>(result: std::io::Result<T>) -> ErrorKind {
    result.map(|_| ()).expect_err("it must be refused").kind()
}

fn names_come_and_go(disk: &dyn Disk) {
    assert_eq!(names(disk), [""; 0]);
    assert_eq!(kind(disk.open("t-a")), ErrorKind::NotFound);
    assert_eq!(kind(disk.remove("t-a")), ErrorKind::NotFound);
    assert_eq!(kind(disk.rename("t-a", "t-b")), ErrorKind::NotFound);
    disk.create("t-a").unwrap().write_at(b"a", 0).unwrap();
    disk.create("t-b").unwrap();
    assert_eq!(kind(disk.create("t-a")), ErrorKind::AlreadyExists);
    assert_eq!(names(disk), ["t-a", "t-b"]);
    disk.sync_folder().unwrap();
    disk.remove("t-b").unwrap();
    assert_eq!(names(disk), ["t-a"]);
    assert_eq!(
        disk.open("t-a").unwrap().length().unwrap(),
        1,
        "what was written is there for the next to open"
    );
}

fn a_rename_replaces_and_open_files_follow(disk: &dyn Disk) {
    let (old, new) = (disk.create("t-old").unwrap(), disk.create("t-new").unwrap());
    old.write_at(b"old", 0).unwrap();
    new.write_at(b"newer", 0).unwrap();
    disk.rename("t-new", "t-old").unwrap();
    assert_eq!(names(disk), ["t-old"]);
    assert_eq!(disk.open("t-old").unwrap().length().unwrap(), 5);
    let mut read = [0; 3];
    old.read_at(&mut read, 0).unwrap();
    assert_eq!(&read, b"old", "an open file is there though its name is gone");
    new.write_at(b"N", 0).unwrap();
    disk.remove("t-old").unwrap();
    new.read_at(&mut read, 0).unwrap();
    assert_eq!(&read, b"New");
    new.sync_data().unwrap();
}

fn writes_land_where_they_are_told(disk: &dyn Disk) {
    let file = disk.create("t-a").unwrap();
    file.write_at(b"xyz", 10).unwrap();
    assert_eq!(file.length().unwrap(), 13);
    file.write_at(b"ab", 0).unwrap();
    file.write_at(b"YZW", 11).unwrap();
    file.write_at(b"", 100).unwrap();
    file.sync_data().unwrap();
    let mut read = [0xFF; 14];
    disk.open("t-a").unwrap().read_at(&mut read, 0).unwrap();
    assert_eq!(&read, b"ab\0\0\0\0\0\0\0\0xYZW", "what was never written reads as zeros");
    file.set_length(12).unwrap();
    file.set_length(14).unwrap();
    file.read_at(&mut read, 0).unwrap();
    assert_eq!(&read, b"ab\0\0\0\0\0\0\0\0xY\0\0", "what was cut off does not come back");
    assert_eq!(file.length().unwrap(), 14);
}

fn a_read_is_whole_or_none(disk: &dyn Disk) {
    let file = disk.create("t-a").unwrap();
    file.write_at(b"abc", 0).unwrap();
    let mut read = [0; 3];
    assert_eq!(kind(file.read_at(&mut read, 1)), ErrorKind::UnexpectedEof);
    assert_eq!(kind(file.read_at(&mut read, 1_000)), ErrorKind::UnexpectedEof);
    file.read_at(&mut read, 0).unwrap();
    file.read_at(&mut [], 3).unwrap();
    assert_eq!(&read, b"abc");
}

fn many_threads_write_one_file(disk: &dyn Disk) {
    let file = disk.create("t-a").unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let file = &file;
            scope.spawn(move || {
                for n in 0..100_u64 {
                    file.write_at(&[thread; 7], (n * 4 + u64::from(thread)) * 7).unwrap();
                }
            });
        }
    });
    let mut read = [0; 2_800];
    file.read_at(&mut read, 0).unwrap();
    assert!(read.chunks(7).enumerate().all(|(n, piece)| piece == [(n % 4) as u8; 7]));
}
