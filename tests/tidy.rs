//! What STYLE.md says and a program can check.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

/// The longest file, in lines.
const FILE_LINES_MAX: usize = 400;
/// Files that are longer, with the reason and their own bound.
const LONG_FILES: &[(&str, usize, &str)] = &[
    (
        "topology/src/engine/feed.rs",
        440,
        "every kind of input, how it is fed, and what remains of it when it is poison",
    ),
    ("connectors/tests/http_sources.rs", 410, "one server, every way in"),
    ("topology/src/engine/tests/mod.rs", 480, "the engine's promises, each a test"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn rust_files() -> Vec<(String, String)> {
    let (root, mut open, mut found) = (root(), Vec::new(), Vec::new());
    for folder in ["schemas", "operators", "connectors", "topology", "bench", "tests"] {
        open.push(root.join(folder));
    }
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn files_are_short_or_say_why_not() {
    let mut long = Vec::new();
    for (name, text) in rust_files() {
        let lines = text.lines().count();
        let known = LONG_FILES.iter().find(|(known, ..)| *known == name);
        let most = known.map_or(FILE_LINES_MAX, |(_, most, _)| *most);
        if lines > most {
            long.push(format!("{name}: {lines} lines, at most {most}"));
        }
    }
    assert!(long.is_empty(), "split these, or give a reason in LONG_FILES:\n{}", long.join("\n"));
}

#[test]
fn only_the_engine_imports_timely() {
    for (name, text) in rust_files() {
        let imports = text.lines().any(|line| line.trim_start().starts_with("use timely"));
        assert!(!imports || name.starts_with("topology/src/engine/"), "{name} imports timely");
    }
}

#[test]
fn dependencies_point_one_way() {
    let depends = |folder: &str, on: &str| {
        let manifest = std::fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        manifest.contains(&format!("{on}.workspace"))
    };
    for on in ["leadline-operators", "leadline-connectors", "leadline"] {
        assert!(!depends("schemas", on), "schemas depends on {on}");
    }
    assert!(!depends("operators", "leadline-connectors") && !depends("connectors", "leadline-operators"));
    for pure in ["tokio", "timely", "reqwest", "rusqlite", "fjall"] {
        assert!(!depends("operators", pure) && !depends("schemas", pure), "{pure} does I/O");
    }
}

#[test]
fn every_file_belongs_to_a_module() {
    let files = rust_files();
    for (name, _) in &files {
        let path = Path::new(name);
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let is_root = ["lib", "main", "tidy"].contains(&stem.as_str())
            || path.parent().is_some_and(|folder| folder.ends_with("tests"));
        if is_root
            || name.contains("/fuzz_targets/")
            || name.contains("/benches/")
            || name.contains("/src/bin/")
        {
            continue;
        }
        let (module, folder) = match stem.as_str() {
            "mod" => {
                let folder = path.parent().unwrap();
                (folder.file_name().unwrap().to_string_lossy().into_owned(), folder.parent().unwrap())
            }
            _ => (stem.clone(), path.parent().unwrap()),
        };
        let of_folder = folder.with_extension("rs");
        let parents = [folder.join("mod.rs"), folder.join("lib.rs"), folder.join("main.rs"), of_folder];
        let known =
            files.iter().filter(|(other, _)| parents.iter().any(|parent| *parent == Path::new(other)));
        let declared = known.into_iter().any(|(_, text)| text.contains(&format!("mod {module};")));
        assert!(declared, "{name} is in no module: mount it or remove it");
    }
}

#[test]
fn nothing_is_left_for_later() {
    let words = ["to", "do"].concat().to_uppercase();
    for (name, text) in rust_files() {
        for (index, line) in text.lines().enumerate() {
            let left = line.contains(&words)
                || line.contains(&format!("{}!(", words.to_lowercase()))
                || line.contains(concat!("#[", "ignore"));
            assert!(!left || name == "tests/tidy.rs", "{name}:{}: {line}", index + 1);
        }
    }
}

#[test]
fn the_top_level_is_the_agreed_one() {
    let allowed = [
        ".ci",
        ".git",
        ".gitignore",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "Cargo.lock",
        "Cargo.toml",
        "Makefile",
        "README.md",
        "STYLE.md",
        "bench",
        "clippy.toml",
        "connectors",
        "data",
        "deny.toml",
        "deploy",
        "operators",
        "rust-toolchain.toml",
        "rustfmt.toml",
        "schemas",
        "target",
        "tests",
        "topology",
    ];
    for entry in std::fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(allowed.contains(&name.as_str()), "{name} is not of the top level");
    }
}
