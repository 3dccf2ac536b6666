//! What commands print. Colours only on a terminal, and not with NO_COLOR.

use std::io::{IsTerminal, Write};

/// Standard output and error.
#[derive(Debug, Clone)]
pub(super) struct Output {
    coloured: bool,
}

impl Default for Output {
    fn default() -> Self {
        Self { coloured: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }
}

impl Output {
    /// Prints a line. A reader that has gone away is no error: `leadline ... | head`.
    pub(super) fn line(&self, text: &str) {
        let _ = writeln!(std::io::stdout(), "{text}");
    }

    /// Prints JSON, indented.
    pub(super) fn json(&self, value: &impl serde::Serialize) {
        match serde_json::to_string_pretty(value) {
            Ok(text) => self.line(&text),
            Err(error) => self.error(&error.to_string()),
        }
    }

    /// Prints an error.
    pub(super) fn error(&self, text: &str) {
        let _ = writeln!(std::io::stderr(), "leadline: {text}");
    }

    /// The text in the colour of a band.
    pub(super) fn in_band(&self, band: &str, text: &str) -> String {
        if !self.coloured {
            return text.to_owned();
        }
        let colour = match band {
            "hot" => "1;31",
            "warm" => "33",
            "nurture" => "36",
            _ => "2",
        };
        format!("\u{1b}[{colour}m{text}\u{1b}[0m")
    }
}
