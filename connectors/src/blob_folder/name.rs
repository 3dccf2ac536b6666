//! Names of blobs and of their witnesses.

/// The longest segment: a file name has 255 bytes on Linux file systems, of which a witness takes
/// `~`, 8 hex digits, `-` and up to 20 decimal ones.
const SEGMENT_BYTES_MAX: usize = 225;

/// The longest name; with any sensible root it stays below PATH_MAX (4,096).
const NAME_BYTES_MAX: usize = 1_024;

/// The name, when it is one.
pub(crate) fn checked(name: &str) -> Option<&str> {
    let character = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let segment = |segment: &str| {
        !segment.is_empty()
            && segment != "."
            && segment != ".."
            && segment.len() <= SEGMENT_BYTES_MAX
            && segment.bytes().all(character)
    };
    (name.len() <= NAME_BYTES_MAX && name.split('/').all(segment)).then_some(name)
}

/// The name of the file that witnesses this content.
pub(super) fn witness(name: &str, content: &[u8]) -> String {
    format!("{name}~{:08x}-{}", crc32c::crc32c(content), content.len())
}

/// Whether a file of this name is not an object but ours.
pub(super) fn is_ours(file_name: &str) -> bool {
    file_name.contains('~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_the_folder_or_meet_our_own_files() {
        for good in ["a", "rec/2026/CAL1.mp3", ".hidden", "a..b", "A-Z_0.9", &"x".repeat(225)] {
            assert_eq!(checked(good), Some(good));
        }
        for bad in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/../b",
            "a/./b",
            "a~b",
            "~lock",
            "a b",
            "ü",
            "a\0b",
            "a\\b",
            "a:b",
            &"x".repeat(226),
            &"x/".repeat(600),
        ] {
            assert_eq!(checked(bad), None, "{bad:?}");
        }
    }
}
