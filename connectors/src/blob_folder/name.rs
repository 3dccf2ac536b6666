//! Names of our own files beside the objects.

/// The name of the file that witnesses this content.
pub(super) fn witness(name: &str, crc32c: u32, bytes: u64) -> String {
    format!("{name}~{crc32c:08x}-{bytes}")
}

/// What a file of this name witnesses, CRC32C and length, if it is a witness of the object `file_name`.
pub(super) fn witnessed(own_name: &str, file_name: &str) -> Option<(u32, u64)> {
    let (crc32c, bytes) = own_name.strip_prefix(file_name)?.strip_prefix('~')?.split_once('-')?;
    Some((u32::from_str_radix(crc32c, 16).ok()?, bytes.parse().ok()?))
}

/// Whether a file of this name is not an object but ours.
pub(super) fn is_ours(file_name: &str) -> bool {
    file_name.contains('~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_witness_says_what_it_was_made_for_and_of_whom() {
        let name = witness("a.mp3", 0x0012_abcd, 5_000);
        assert_eq!(name, "a.mp3~0012abcd-5000");
        assert!(is_ours(&name) && !is_ours("a.mp3"));
        assert_eq!(witnessed(&name, "a.mp3"), Some((0x0012_abcd, 5_000)));
        for other in ["a.mp", "a.mp3x", "", "a.mp3~0012abcd"] {
            assert_eq!(witnessed(&name, other), None, "{other:?}");
        }
    }
}
