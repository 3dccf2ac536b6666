use super::*;

#[test]
fn a_second_owner_is_refused_with_the_first_ones_pid() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/log");
    let first = FolderDisk::open(&path).unwrap();
    let refused = FolderDisk::open(&path).unwrap_err().to_string();
    assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
    assert!(first.list().unwrap().is_empty(), "the lock file is not the log's");
    drop(first);
    FolderDisk::open(&path).unwrap();
}

#[test]
fn a_reader_beside_the_owner_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let owner = FolderDisk::open(folder.path()).unwrap();
    owner.create("a").unwrap().write_at(b"abc", 0).unwrap();
    let reader = FolderDisk::open_read_only(folder.path()).unwrap();
    let mut bytes = [0; 3];
    reader.open("a").unwrap().read_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"abc");
    assert!(reader.open("a").unwrap().write_at(b"x", 0).is_err());
    assert!(reader.create("b").is_err() && reader.remove("a").is_err() && reader.rename("a", "b").is_err());
    let missing = owner.open("a").unwrap().read_at(&mut [0; 4], 0).unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::UnexpectedEof);
}
