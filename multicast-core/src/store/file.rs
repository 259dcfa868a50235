//! An image in files: under temporary names until every byte of the delivery is verified.

use std::ffi::OsString;
use std::fs;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::journal::{self, Journal};
use super::sys::{self, Locked, Node};
use super::target::{Resume, open_journal};
use super::{Store, StoreError, all_blocks, check_bounds, total_len};
use crate::layout::{BlockSpan, Layout};
use crate::types::{BlockIndex, ClientId};

/// Behind the final name until the delivery is complete.
const PART: &str = ".mcast-part";
/// Behind the final name of the first file.
const JOURNAL: &str = ".mcast-journal";

/// Writes each file of a delivery under a temporary name beside the final one, and a journal.
///
/// What stands under the final name stays until [`commit`](Store::commit) replaces it.
#[derive(Debug)]
pub struct FileStore {
    parts: Vec<Part>,
    folder: PathBuf,
    journal: Journal,
    blocks: Range<BlockIndex>,
    /// Files that have their final name.
    renamed: Mutex<usize>,
}

#[derive(Debug)]
struct Part {
    file: Locked,
    temp: PathBuf,
    path: PathBuf,
    size: u64,
}

impl FileStore {
    /// Takes the space for the files of `layout`, before a byte is written.
    ///
    /// A single file becomes `output`, or, where that is a folder, keeps its name within it;
    /// several files need a folder. What an earlier run left is taken up, with the client that it
    /// names; `client` is who a new journal belongs to.
    pub fn open(output: &Path, layout: &Layout, client: ClientId) -> Result<(Self, Resume), StoreError> {
        let plan = Plan::new(output, layout)?;
        let mut created = Created::default();
        let mut parts = Vec::new();
        for (path, file) in plan.paths.iter().zip(layout.files()) {
            parts.push(Part::open(path, file.size, &plan.folder, &mut created)?);
        }
        check_space(&parts, &plan.folder)?;
        for part in &parts {
            reserve(part, &plan.folder)?;
        }
        let (journal, mut resume) = open_journal(&plan.journal(), layout, client)?;
        if created.0.len() == parts.len() {
            // Without the bytes the claims are void; hashing an empty file would only cost time.
            resume.claimed.clear_range(0..resume.claimed.len());
        }
        created.0.clear();
        let store = Self { parts, folder: plan.folder, journal, blocks: all_blocks(layout), renamed: Mutex::new(0) };
        Ok((store, resume))
    }

    fn part(&self, file: usize, offset: u64, len: u64) -> Result<&Part, StoreError> {
        let part = self.parts.get(file);
        check_bounds(file, part.map(|part| part.size), offset, len)?;
        part.ok_or(StoreError::OutOfBounds { file, offset, len })
    }
}

impl Store for FileStore {
    fn write(&self, file: usize, offset: u64, slices: &[IoSlice<'_>]) -> Result<(), StoreError> {
        let len = total_len(slices);
        let part = self.part(file, offset, len)?;
        let error = |source| StoreError::Write { path: part.temp.clone(), offset, len, source };
        sys::write_slices(&part.file, slices, offset).map_err(error)
    }

    fn read(&self, file: usize, offset: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        let len = buf.len() as u64;
        let part = self.part(file, offset, len)?;
        let error = |source| StoreError::Read { path: part.temp.clone(), offset, len, source };
        part.file.read_exact_at(buf, offset).map_err(error)
    }

    fn window(&self) -> Range<BlockIndex> {
        self.blocks.clone()
    }

    fn keep_manifest(&self, manifest: &[u8]) -> Result<(), StoreError> {
        self.journal.set_manifest(manifest)?;
        self.journal.reserve(self.blocks.end.0 - self.blocks.start.0);
        Ok(())
    }

    fn verified(&self, span: &BlockSpan) -> Result<(), StoreError> {
        self.journal.record(span.block)
    }

    fn commit(&self) -> Result<(), StoreError> {
        let mut renamed = self.renamed.lock().unwrap_or_else(PoisonError::into_inner);
        let left = &self.parts[*renamed..];
        for part in left {
            part.file.sync_all().map_err(|source| StoreError::Sync { path: part.temp.clone(), source })?;
        }
        for part in left {
            let error = |source| StoreError::Rename { from: part.temp.clone(), to: part.path.clone(), source };
            fs::rename(&part.temp, &part.path).map_err(error)?;
            *renamed += 1;
        }
        sys::sync_folder(&self.folder).map_err(|source| StoreError::Sync { path: self.folder.clone(), source })?;
        self.journal.remove()
    }
}

/// Removes the temporary files and the journal of a delivery to `output`; final names stay.
pub(super) fn discard(output: &Path, layout: &Layout) -> Result<(), StoreError> {
    let plan = Plan::new(output, layout)?;
    for path in &plan.paths {
        let temp = with_suffix(path, PART);
        // Whoever holds the lock still needs the file.
        let Some(_locked) = open_existing(&temp, path)? else { continue };
        fs::remove_file(&temp).map_err(|source| StoreError::Remove { path: temp, source })?;
    }
    journal::remove(&plan.journal())
}

/// The journal of a delivery to `output` whose files are not known yet; in a folder only if there
/// is no other.
pub(super) fn journal_of(output: &Path) -> Option<PathBuf> {
    if !output.is_dir() {
        return Some(with_suffix(output, JOURNAL));
    }
    let names = fs::read_dir(output).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut journals = names.filter(|path| path.as_os_str().as_bytes().ends_with(JOURNAL.as_bytes()));
    journals.next().filter(|_| journals.next().is_none())
}

/// Where the files of a delivery belong.
struct Plan {
    folder: PathBuf,
    /// Final names, in the order of the delivery.
    paths: Vec<PathBuf>,
}

impl Plan {
    fn new(output: &Path, layout: &Layout) -> Result<Self, StoreError> {
        let files = layout.files();
        if node(output)? == Node::Folder {
            for suffix in [PART, JOURNAL] {
                if let Some(file) = files.iter().find(|file| file.name.ends_with(suffix)) {
                    return Err(StoreError::ReservedName { name: file.name.clone(), suffix });
                }
            }
            let paths = files.iter().map(|file| output.join(&file.name)).collect();
            return Self { folder: output.to_owned(), paths }.check();
        }
        if files.len() > 1 {
            return Err(StoreError::FolderNeeded { output: output.to_owned(), files: files.len() });
        }
        let missing =
            |folder: &Path| StoreError::FolderMissing { output: output.to_owned(), folder: folder.to_owned() };
        if output.file_name().is_none() || output.as_os_str().as_bytes().ends_with(b"/") {
            return Err(missing(output));
        }
        let folder = match output.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        match node(folder)? {
            Node::Folder => Self { folder: folder.to_owned(), paths: vec![output.to_owned()] }.check(),
            Node::Absent => Err(missing(folder)),
            _ => Err(StoreError::NotAFolder { output: output.to_owned(), folder: folder.to_owned() }),
        }
    }

    fn check(self) -> Result<Self, StoreError> {
        for path in &self.paths {
            if !matches!(node(path)?, Node::Absent | Node::File) {
                return Err(StoreError::NotAFile { path: path.clone() });
            }
        }
        Ok(self)
    }

    fn journal(&self) -> PathBuf {
        with_suffix(&self.paths[0], JOURNAL)
    }
}

impl Part {
    fn open(path: &Path, size: u64, folder: &Path, created: &mut Created) -> Result<Self, StoreError> {
        let temp = with_suffix(path, PART);
        loop {
            if let Some(file) = open_existing(&temp, path)? {
                return Ok(Self { file, temp, path: path.to_owned(), size });
            }
            match sys::open_part(&temp, true) {
                // It is locked at the next round, like one that was there before.
                Ok(_) => created.0.push(temp.clone()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(StoreError::FolderNotWritable { folder: folder.to_owned(), source }),
            }
        }
    }
}

/// Opens and locks the temporary file `temp` of `path`, if there is one.
fn open_existing(temp: &Path, path: &Path) -> Result<Option<Locked>, StoreError> {
    let error = |source| StoreError::Open { path: temp.to_owned(), source };
    let file = match sys::open_part(temp, false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(error)?,
    };
    let locked = sys::lock(file).map_err(error)?.ok_or(StoreError::InUse { output: path.to_owned() })?;
    // Another client may have finished, and renamed it, since it was opened.
    if sys::is_named(&locked, temp).map_err(error)? { Ok(Some(locked)) } else { open_existing(temp, path) }
}

fn check_space(parts: &[Part], folder: &Path) -> Result<(), StoreError> {
    let mut needed = 0u64;
    for part in parts {
        let error = |source| StoreError::Open { path: part.temp.clone(), source };
        needed = needed.saturating_add(part.size.saturating_sub(sys::allocated(&part.file).map_err(error)?));
    }
    require_space(folder, needed)
}

/// Refuses a folder whose filesystem has less than `needed` bytes left.
pub(super) fn require_space(folder: &Path, needed: u64) -> Result<(), StoreError> {
    let error = |source| StoreError::Open { path: folder.to_owned(), source };
    match sys::free_space(folder).map_err(error)? {
        Some(free) if free < needed => Err(StoreError::NoSpace { folder: folder.to_owned(), needed, free }),
        _ => Ok(()),
    }
}

fn reserve(part: &Part, folder: &Path) -> Result<(), StoreError> {
    let error = |source: io::Error| match source.kind() {
        io::ErrorKind::ReadOnlyFilesystem => StoreError::FolderNotWritable { folder: folder.to_owned(), source },
        _ => StoreError::Reserve { path: part.temp.clone(), size: part.size, source },
    };
    sys::reserve(&part.file, part.size).map_err(error)
}

fn node(path: &Path) -> Result<Node, StoreError> {
    sys::node(path).map_err(|source| StoreError::Open { path: path.to_owned(), source })
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Files made by an `open` that then failed: a failure leaves nothing behind.
#[derive(Default)]
struct Created(Vec<PathBuf>);

impl Drop for Created {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{CLIENT, content, deliver, deliver_all, image_spans, layout};
    use super::super::{StoreErrorKind, recheck};
    use super::*;
    use crate::layout::{FileEntry, Geometry};
    use std::sync::atomic::AtomicBool;

    fn open(output: &Path, layout: &Layout) -> (FileStore, Resume) {
        FileStore::open(output, layout, CLIENT).unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_gets_its_name_only_when_it_is_complete() {
        let (folder, layout) = (tempfile::tempdir().unwrap(), layout(&[1000]));
        let output = folder.path().join("image.wim");
        fs::write(&output, b"what was there before").unwrap();
        let (store, resume) = open(&output, &layout);
        assert_eq!((resume.client, resume.manifest, resume.claimed.count_ones()), (CLIENT, None, 0));
        store.keep_manifest(b"manifest").unwrap();
        deliver_all(&store, &layout);
        assert_eq!(names(folder.path()), ["image.wim", "image.wim.mcast-journal", "image.wim.mcast-part"]);
        assert_eq!(fs::read(&output).unwrap(), b"what was there before");
        store.commit().unwrap();
        assert_eq!(names(folder.path()), ["image.wim"]);
        assert_eq!(fs::read(&output).unwrap(), content(0, 1000));
        store.commit().unwrap();
    }

    #[test]
    fn several_files_go_into_a_folder_under_their_own_names() {
        let (folder, layout) = (tempfile::tempdir().unwrap(), layout(&[300, 64, 1]));
        let (store, _) = open(folder.path(), &layout);
        deliver_all(&store, &layout);
        store.commit().unwrap();
        assert_eq!(names(folder.path()), ["f0", "f1", "f2"]);
        assert_eq!(fs::read(folder.path().join("f1")).unwrap(), content(1, 64));
    }

    #[test]
    fn a_second_run_continues_where_the_first_one_was_killed() {
        let (folder, layout) = (tempfile::tempdir().unwrap(), layout(&[1000]));
        let output = folder.path().join("out");
        let spans = image_spans(&layout);
        let (store, _) = open(&output, &layout);
        store.keep_manifest(b"manifest").unwrap();
        spans[..7].iter().for_each(|span| deliver(&store, &layout, span).unwrap());
        store.write(0, spans[7].offset, &[IoSlice::new(b"half a block")]).unwrap();
        drop(store);

        let (store, resume) = FileStore::open(&output, &layout, ClientId(7)).unwrap();
        assert_eq!((resume.client, resume.manifest.as_deref()), (CLIENT, Some(&b"manifest"[..])));
        assert_eq!(resume.claimed.count_ones(), 7);
        let hash_of = |block| {
            let span = layout.block(block)?;
            Some(*blake3::hash(&super::super::testing::block_bytes(&layout, &span)).as_bytes())
        };
        let go = AtomicBool::new(false);
        let confirmed = recheck(&store, &layout, hash_of, &resume.claimed, 2, |_| {}, &go).unwrap();
        assert_eq!(confirmed, resume.claimed);
        spans[7..].iter().for_each(|span| deliver(&store, &layout, span).unwrap());
        store.commit().unwrap();
        assert_eq!(fs::read(&output).unwrap(), content(0, 1000));
    }

    #[test]
    fn claims_without_the_bytes_are_dropped_and_short_files_grow_back() {
        let (folder, layout) = (tempfile::tempdir().unwrap(), layout(&[1000]));
        let output = folder.path().join("out");
        let temp = with_suffix(&output, PART);
        let fill = || {
            let (store, _) = open(&output, &layout);
            deliver_all(&store, &layout);
        };
        fill();
        fs::remove_file(&temp).unwrap();
        assert_eq!(open(&output, &layout).1.claimed.count_ones(), 0);
        fill();
        fs::File::options().write(true).open(&temp).unwrap().set_len(10).unwrap();
        let (store, resume) = open(&output, &layout);
        assert_eq!(resume.claimed.count_ones() as u32, layout.image_blocks());
        store.read(0, 990, &mut [0; 10]).unwrap();
    }

    #[test]
    fn two_clients_do_not_write_the_same_output() {
        let (folder, layout) = (tempfile::tempdir().unwrap(), layout(&[100]));
        let output = folder.path().join("out");
        let (store, _) = open(&output, &layout);
        let error = FileStore::open(&output, &layout, CLIENT).unwrap_err();
        assert!(matches!(&error, StoreError::InUse { .. }), "{error}");
        assert!(matches!(discard(&output, &layout), Err(StoreError::InUse { .. })));
        assert_eq!(error.kind(), StoreErrorKind::Config);
        drop(store);
        open(&output, &layout);
    }

    #[test]
    fn a_fresh_start_leaves_nothing_of_the_earlier_run() {
        let (folder, layout) = (tempfile::tempdir().unwrap(), layout(&[100, 100]));
        fs::write(folder.path().join("f0"), b"final").unwrap();
        let (store, _) = open(folder.path(), &layout);
        deliver_all(&store, &layout);
        drop(store);
        discard(folder.path(), &layout).unwrap();
        assert_eq!(names(folder.path()), ["f0"]);
        discard(folder.path(), &layout).unwrap();
    }

    #[test]
    fn a_wrong_output_is_refused_before_anything_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("in/f0")).unwrap();
        fs::write(at("plain"), b"").unwrap();
        let refused = |output: PathBuf, sizes: &[u64]| FileStore::open(&output, &layout(sizes), CLIENT).unwrap_err();
        assert!(matches!(refused(at("absent/out"), &[1]), StoreError::FolderMissing { .. }));
        assert!(matches!(refused(at("absent/"), &[1]), StoreError::FolderMissing { .. }));
        assert!(matches!(refused("".into(), &[1]), StoreError::FolderMissing { .. }));
        assert!(matches!(refused(at("absent"), &[1, 1]), StoreError::FolderNeeded { files: 2, .. }));
        assert!(matches!(refused(at("plain"), &[1, 1]), StoreError::FolderNeeded { files: 2, .. }));
        assert!(matches!(refused(at("in"), &[1]), StoreError::NotAFile { .. }));
        assert!(matches!(refused("/dev/null".into(), &[1]), StoreError::NotAFile { .. }));
        assert!(matches!(refused("/proc/out".into(), &[1]), StoreError::FolderNotWritable { .. }));
        let huge = vec![FileEntry { name: "huge".into(), size: 1 << 51 }];
        let huge = Layout::new(Geometry::for_size(1 << 51, 1440), huge).unwrap();
        let error = FileStore::open(&at("out"), &huge, CLIENT).unwrap_err();
        assert!(matches!(error, StoreError::NoSpace { needed, free, .. } if needed > free));
        assert_eq!(names(folder.path()), ["in", "plain"]);
    }

    #[test]
    fn bytes_outside_a_file_are_refused() {
        let (folder, layout) = (tempfile::tempdir().unwrap(), layout(&[100]));
        let (store, _) = open(folder.path(), &layout);
        for (file, offset) in [(0, 99), (0, u64::MAX), (1, 0)] {
            let write = store.write(file, offset, &[IoSlice::new(&[1, 2])]);
            assert!(matches!(write, Err(StoreError::OutOfBounds { .. })));
            assert!(matches!(store.read(file, offset, &mut [0; 2]), Err(StoreError::OutOfBounds { .. })));
        }
    }
}
