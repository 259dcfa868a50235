//! What lies in the images' folder: which images that makes, and whether their files changed.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::config::{Image as Entry, Settings, Unlisted};

/// Endings of what programs leave beside images: copies under way, and our own hashes.
const NOT_IMAGES: [&str; 8] =
    [".part", ".tmp", ".swp", ".crdownload", ".filepart", ".mcast-part", ".mcast-journal", ".mcast-manifest"];

/// An image that the folder has, or ought to have.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    pub(super) entry: Entry,
    pub(super) files: Vec<PathBuf>,
    /// Of each file, or what is wrong with the first one that cannot be had.
    pub(super) marks: Result<Vec<Mark>, String>,
}

/// By which a file is known to be what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    inode: (u64, u64),
}

impl Mark {
    /// Of the file at `path`, which may be a link to one.
    fn of(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|about| Self::from(&about))
    }
}

impl From<&Metadata> for Mark {
    fn from(about: &Metadata) -> Self {
        Self {
            bytes: about.len(),
            modified: (about.mtime(), about.mtime_nsec()),
            changed: (about.ctime(), about.ctime_nsec()),
            inode: (about.dev(), about.ino()),
        }
    }
}

impl Mark {
    /// Whether it is the same file and was not written to: its name and rights count for nothing.
    pub(super) fn same_bytes(&self, other: &Self) -> bool {
        (self.bytes, self.modified, self.inode) == (other.bytes, other.modified, other.inode)
    }

    /// Whether it was written to last before `settle`, by this machine's clock.
    pub(super) fn rests(&self, settle: Duration) -> bool {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(self.modified.0.max(0).unsigned_abs());
        modified.elapsed().is_ok_and(|age| age > settle + Duration::from_secs(1))
    }
}

/// Looks through the folder. Fails only if the folder itself cannot be read.
pub(super) fn look(settings: &Settings) -> io::Result<Vec<Found>> {
    let Some(folder) = &settings.content.images else { return Ok(Vec::new()) };
    let mut found: Vec<Found> = settings.images.iter().map(|entry| find(folder, entry.clone())).collect();
    let listed: HashSet<PathBuf> = found.iter().flat_map(|image| image.files.iter().cloned()).collect();
    let names: HashSet<String> = found.iter().map(|image| image.entry.name.clone()).collect();
    let entries = fs::read_dir(folder)?;
    if settings.content.unlisted == Unlisted::Ignore {
        return Ok(found);
    }
    for entry in entries.filter_map(Result::ok) {
        let (path, name) = (entry.path(), entry.file_name());
        // A name that is no text could not be asked for.
        let Some(name) = name.to_str().filter(|name| is_image(name)) else { continue };
        let is_file = fs::metadata(&path).is_ok_and(|about| about.is_file());
        if is_file && !listed.contains(&path) && !names.contains(name) {
            let entry =
                Entry { name: name.to_owned(), files: vec![name.into()], priority: USUAL_PRIORITY, ..Entry::default() };
            found.push(find(folder, entry));
        }
    }
    Ok(found)
}

/// Of an image without an entry.
const USUAL_PRIORITY: u8 = 5;

fn is_image(name: &str) -> bool {
    !name.starts_with('.') && !name.ends_with('~') && !NOT_IMAGES.iter().any(|ending| name.ends_with(ending))
}

fn find(folder: &Path, entry: Entry) -> Found {
    let files = entry.paths(folder);
    let marks = files.iter().map(|path| mark(path)).collect();
    Found { entry, files, marks }
}

/// Of the file at `path`, or in words why it has none.
pub(super) fn mark(path: &Path) -> Result<Mark, String> {
    Mark::of(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("{path:?} does not exist"),
        _ => format!("cannot read {path:?}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_under_way_and_our_own_files_are_no_images() {
        let images = ["win11.wim", "lab.img", "base2.swm", "backup.part.img"];
        let others = [".hidden", "win11.wim.part", "lab.img~", "win11.wim.mcast-manifest", "x.tmp", ".win11.wim.swp"];
        assert!(images.into_iter().all(is_image));
        assert!(!others.into_iter().any(is_image));
    }
}
