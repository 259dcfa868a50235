//! What a file of a boot image is, and what comes of it: a name, a line feed, and the file's first bytes.

use pxe::boot::script::refuse;
use pxe::images::{HEAD, describe, inspect};

/// Whether it is a part of a boot image.
pub fn boot_image(data: &[u8]) -> bool {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let name = String::from_utf8_lossy(&data[..end]);
    let rest = data.get(end + 1..).unwrap_or_default();
    let kind = match inspect(&name, &rest[..rest.len().min(HEAD)]) {
        Ok(kind) => kind,
        Err(error) => {
            // What is said of it on a machine's screen is text, and never a command of its own.
            let script = refuse(&error.to_string());
            assert_eq!(script.lines().count(), refuse("x").lines().count(), "{script}");
            return false;
        }
    };
    let files = [(name.into_owned(), kind)];
    if let Ok(programs) = describe(&files, &[], "") {
        assert!(!programs.is_empty());
        assert!(programs.values().all(|program| program.files().eq([files[0].0.as_str()])));
    }
    true
}
