//! `leadline.toml` and the environment.
//!
//! Input: the file, a line of two equals signs, then the environment, a variable a line.

use std::collections::BTreeMap;

use leadline::config;

use super::{Target, filled};

pub const TARGET: Target = Target {
    name: "configuration",
    run: configuration,
    tokens: &[
        b"[log]\n",
        b"segment_bytes = 16384\n",
        b"max_bytes = 18446744073709551616\n",
        b"max_bytes = -1\n",
        b"listen = \"fd:3\"\n",
        b"listen = \"[::1]:0\"\n",
        b"partitions = 0\n",
        b"partitions = 16.0\n",
        b"[[log]]\n",
        b"log.level = \"info,leadline=debug\"\n",
        b"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p = 1\n",
        b"x = 1979-05-27T07:32:00Z\n",
        b"y = [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        b"\"\"\"\n",
        b"\n==\n",
        b"LOG_LEVEL=trace\n",
        b"MAX_CONCURRENT_REQUESTS=0\n",
        b"AI_MODEL_ENDPOINT=ftp://x\n",
        b"\xFF",
        b"\0",
    ],
    memory_bytes_base: 1 << 20,
    memory_bytes_per_byte: 2 << 10,
    large: &[
        ("one name", || [&b"x".repeat(1 << 20)[..], b" = 1"].concat()),
        ("names", || filled(b"", "a# = 1\n", b"")[..256 << 10].to_vec()),
    ],
};

/// Reads a configuration.
pub fn configuration(input: &[u8]) {
    let separator = b"\n==\n";
    let at = input.windows(separator.len()).position(|window| window == separator);
    let (file, environment) = match at {
        Some(at) => (&input[..at], &input[at + separator.len()..]),
        None => (input, &[][..]),
    };
    let environment = String::from_utf8_lossy(environment);
    let variables: BTreeMap<&str, &str> =
        environment.lines().filter_map(|line| line.split_once('=')).collect();
    thread_local!(static FILE: tempfile::NamedTempFile = in_memory());
    let path = FILE.with(|file| file.path().to_owned());
    std::fs::write(&path, file).unwrap();
    let (read, mistakes) =
        config::read(Some(&path), |name| variables.get(name).map(|text| (*text).to_owned()), &[]);

    for mistake in &mistakes {
        let line = mistake.to_string();
        assert!(!line.contains('\n'), "a mistake is one line: {line:?}");
        assert!(!mistake.key.is_empty() && !mistake.what.is_empty());
        assert!(line.len() < 4 << 10, "{} bytes to say what is wrong", line.len());
    }
    if mistakes.is_empty() {
        assert!((1..=1_024).contains(&read.partitions) && (1..=256).contains(&read.workers));
        assert!(read.requests_max >= 1 && read.process_timeout_s >= 1);
        assert!(read.log_bytes_max >= 5 * read.segment_bytes);
        let fd = read.listen.strip_prefix("fd:").is_some_and(|fd| fd.parse::<u8>().is_ok());
        let named = read.listen.rsplit_once(':');
        let named = named.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        assert!(fd || named, "{}", read.listen);
    }
    let again = config::read(Some(&path), |name| variables.get(name).map(|text| (*text).to_owned()), &[]);
    assert_eq!(again, (read, mistakes));
}

/// A file that no disk has to write, where the system has such.
fn in_memory() -> tempfile::NamedTempFile {
    let folder = std::path::Path::new("/dev/shm");
    let file = if folder.is_dir() { tempfile::NamedTempFile::new_in(folder).ok() } else { None };
    file.unwrap_or_else(|| tempfile::NamedTempFile::new().unwrap())
}
